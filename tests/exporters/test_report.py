"""The page of a run: complete, safe from its own texts, and drawn by a real browser without a network."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image

from exporters.mesh_files import write_mesh
from exporters.phases import keep_record
from exporters.report import Report, report_page
from geometry.mesh import Mesh
from systems.contact_sheet import save_png
from tests.artefacts import keep
from tests.chromium import chromium_page, find_chromium
from tests.systems.small_systems import fitting_system

ORIGIN = {"prompt": "a <b>ball</b> & $prompt", "seed": 7, "steps": 300, "system": {"type": "latent-nerf"}}
ORIGIN |= {"versions": {"torch": "2.13.0"}}


def _run_folder(folder: Path, texture: bool = True) -> Path:
    """What other exporters and the training leave, made by hand: a ball, green above and red below."""
    folder.mkdir(parents=True)
    ball = trimesh.creation.uv_sphere(radius=0.4, count=[24, 24])
    vertices = np.asarray(ball.vertices, np.float32)[:, [1, 2, 0]]  # its poles to the top
    height = vertices[:, 1] / 0.8 + 0.5
    uv = np.stack([0 * height + 0.5, height], axis=1).astype(np.float32)
    picture = np.zeros((64, 8, 3), np.uint8)
    picture[:32], picture[32:] = (20, 200, 40), (220, 30, 30)
    colours = (picture[((1 - height) * 63).astype(int), 0] / 255).astype(np.float32)
    look: dict[str, Any] = {"uv": uv, "texture": picture} if texture else {"colours": colours}
    mesh = Mesh(vertices, np.asarray(ball.faces), (vertices / 0.4).astype(np.float32), **look)
    write_mesh(folder / "mesh.glb", mesh, {})
    Image.new("RGB", (40, 20), "teal").save(folder / "contact_sheet.png")
    Image.new("RGB", (60, 20), "navy").save(folder / "progress.png")
    rows = [f"{step},{step / 4},4.0,{1 / step},{0.5 / step}" for step in range(1, 301, 10)]
    (folder / "metrics.csv").write_text("\n".join(["step,seconds,steps_per_second,loss,loss/sds", *rows]) + "\n")
    (folder / "recipe.yaml").write_text("seed: 7\nnote: <script>alert(1)</script>\n")
    keep_record(folder, "mesh", {"file": "mesh.glb", "faces": 20000, "watertight": True}, {"unwrap": 2.5})
    return folder


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return report_page(_run_folder(tmp_path_factory.mktemp("report") / "run"), ORIGIN)


def test_everything_of_the_run_is_on_it(page: str) -> None:
    for part in ("latent-nerf, 300 steps, seed 7", "<svg", "20,000", "mesh: unwrap", "training", "72.8", "torch"):
        assert part in page
    assert len(re.findall(r'<img src="data:image/png;base64,', page)) == 2


def test_texts_of_the_user_stay_texts(page: str) -> None:
    assert "<h1>a &lt;b&gt;ball&lt;/b&gt; &amp; $prompt</h1>" in page
    assert "note: &lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_it_names_nothing_outside_of_itself(page: str) -> None:
    bare = re.sub(r"<script.*?</script>", "", page, flags=re.S)
    assert re.findall(r'(?:src|href)="(?!data:)', bare) == []
    assert "http" not in bare
    assert "Permission is hereby granted" in page  # three.js travels with its licence


def test_a_run_without_files_has_a_page_all_the_same(tmp_path: Path) -> None:
    bare = report_page(tmp_path, {**ORIGIN, "prompt": ""})
    assert "(no prompt)" in bare
    assert "No mesh.glb in this run" in bare
    assert "No mesh has been exported" in bare
    assert "Loss: no numbers." in bare
    assert "<script" not in bare


def test_the_film_of_the_turntable_is_within_the_page(tmp_path: Path) -> None:
    (tmp_path / "turntable.mp4").write_bytes(b"mp4")
    assert "data:video/mp4;base64,bXA0" in report_page(tmp_path, ORIGIN)


def test_the_exporter_writes_it_into_the_run_folder(tmp_path: Path) -> None:
    (path,) = Report(Report.Config()).export(fitting_system(1, size=8), tmp_path)
    assert path == tmp_path / "report.html"
    assert "<h1>a ball</h1>" in path.read_text()


@pytest.mark.skipif(find_chromium() is None, reason="no Chromium here: apt-get install chromium")
@pytest.mark.parametrize("texture", [True, False], ids=["texture", "vertices"])
def test_a_browser_draws_the_model_without_network_or_complaint(texture: bool, tmp_path: Path) -> None:
    folder = _run_folder(tmp_path / "run", texture)
    path = folder / "report.html"
    path.write_text(report_page(folder, ORIGIN))
    browser = find_chromium()
    assert browser is not None
    with chromium_page(browser, path) as shown:
        shown.wait_for("document.body.dataset.view", "drawn", timeout_s=120)
        view = shown.picture("#view").astype(int)
        shown.drag("#view", 160)
        shown.evaluate("document.getElementById('shade').click()")
        shaded = shown.picture("#view").astype(int)
        whole = shown.picture()
    name = f"report-{'texture' if texture else 'vertices'}.png"
    keep(save_png(tmp_path / name, whole), name)
    assert shown.faults == []
    outside = [url for url in shown.requests if not url.startswith(("file:", "data:", "blob:"))]
    assert outside == []
    assert [url for url in shown.requests if url.startswith("file:")] == [path.resolve().as_uri()]
    rows, columns, _ = view.shape
    middle = view[:, columns // 2]
    is_green = (middle[:, 1] > 180) & (middle[:, 0] < 60)
    is_red = (middle[:, 0] > 180) & (middle[:, 1] < 70)
    assert min(is_green.sum(), is_red.sum()) > 0.1 * rows
    assert np.flatnonzero(is_green).mean() < np.flatnonzero(is_red).mean()  # green is above
    assert np.abs(view - shaded).mean() > 0.5
    assert len(np.unique(shaded.reshape(-1, 3), axis=0)) > 100  # light and shade, where two colours were
