"""One command of several stages: a coat of latents, the same as colours, and another coat on what that has made."""

import json
from pathlib import Path

import numpy as np
import pytest

from app.api import Run, train
from app.cli import main
from app.events import Event, Started, Stepped
from app.run_folder import read_prompt
from app.stopping import Stop
from exporters.stages import STAGES, stages_in
from tests.app.test_stages import ROOT, mean_colour
from tests.known_ball import write_ball_views
from tests.systems.small_paint import write_ball

NAMES = ["1-latent-paint", "2-latent-paint", "3-latent-paint"]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three stages of a few steps on exact pictures of a ball."""
    folder = tmp_path_factory.mktemp("staged")
    seen = {"type": "target-image", "folder": str(write_ball_views(folder / "views")), "size": 16}
    of_all = {
        "views": {"type": "posed-pictures"},
        "latent_size": None,
        "background": {"type": "solid"},
        "geometry": {"placement": {"scale": 0.4}, "learning_rate": 0.1},
    }
    mesh = {"path": str(write_ball(folder / "ball.obj"))}
    sheet = [{"type": "contact-sheet"}]
    stages = [
        {"extends": f"{ROOT}/configs/latent-paint.yaml", "system": {"guidance": seen, "geometry": mesh}},
        {
            "extends": f"{ROOT}/configs/latent-paint-rgb.yaml",
            "start_from": "previous",
            "system": {"guidance": {"inner": seen}, "geometry": {**mesh, "texture_size": 32}},
            "exporters": [*sheet, {"type": "painted-mesh"}],
        },
        {
            "extends": f"{ROOT}/configs/latent-paint.yaml",
            "system": {"guidance": seen, "geometry": {"path": "previous/mesh.obj", "start": "own-texture"}},
            "exporters": [*sheet, {"type": "painted-mesh"}, {"type": "report"}],
        },
    ]
    stages[0]["exporters"] = sheet
    trainer = {"max_steps": 4, "preview_every": 0, "checkpoint_every": 2}
    content = {"prompt": "a red ball", "trainer": trainer, "system": of_all, "stages": stages}
    path = folder / "three.yaml"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def whole(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All stages, never interrupted."""
    return train(recipe, out=tmp_path_factory.mktemp("whole"), device="cpu")


def test_one_command_carries_out_all_stages(whole: Run):
    assert [path.name for path in whole.stages] == NAMES
    assert whole.is_finished
    made = {path.name for path in whole.folder.iterdir()}
    assert {*NAMES, "recipe.yaml", "prompt.txt", "mesh.obj", "mesh.png", "report.html", "contact_sheet.png"} <= made
    assert (whole.folder / "mesh.png").read_bytes() == (whole.stages[-1] / "mesh.png").read_bytes()
    assert {read_prompt(path) for path in (whole.folder, *whole.stages)} == {"a red ball"}
    page = (whole.folder / "report.html").read_text()
    assert [f"Before: {name}" in page for name in NAMES] == [True, True, False]
    assert page.count('alt="Contact sheet') == 3, "of each stage"
    record = json.loads((whole.folder / "export.json").read_text())
    assert {"2-latent-paint: painted-mesh", "3-latent-paint: painted-mesh"} <= set(record)
    assert np.abs(mean_colour(whole.folder) - mean_colour(whole.stages[1])).max() < 0.3


def test_the_last_stage_is_opened_and_exported_in_the_name_of_all(whole: Run, capsys: pytest.CaptureFixture[str]):
    opened = Run.load(whole.folder, device="cpu")
    assert (opened.folder, opened.stages, opened.step) == (whole.folder, whole.stages, 4)
    (whole.folder / "mesh.obj").unlink()
    assert main(["--export", str(whole.folder), "--device", "cpu"]) == 0
    assert (whole.folder / "mesh.obj").is_file()
    assert f"Everything is in {whole.folder}/ (contact_sheet.png, mesh.obj" in capsys.readouterr().out


def test_a_run_that_was_stopped_goes_on_in_its_stage_and_ends_with_the_same_bytes(
    recipe: Path, whole: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Stopped in the second stage: the first one is not trained again."""
    stop = Stop()
    started: list[Path] = []

    def stop_in_the_second(event: Event) -> None:
        if isinstance(event, Started):
            started.append(event.folder)
        if isinstance(event, Stepped) and len(started) == 2 and event.step == 3:
            stop.request()

    halted = train(recipe, out=tmp_path, device="cpu", on_event=stop_in_the_second, stop=stop)
    assert not halted.is_finished
    assert halted.folder.name == whole.folder.name
    assert not (halted.folder / NAMES[2]).exists()
    before = (halted.folder / NAMES[0] / "checkpoints" / "last.ckpt").stat().st_mtime_ns
    started.clear()
    resumed = train(recipe, out=tmp_path, device="cpu", resume=True, on_event=stop_in_the_second)
    assert [path.name for path in started] == NAMES[1:]
    assert (halted.folder / NAMES[0] / "checkpoints" / "last.ckpt").stat().st_mtime_ns == before
    assert resumed.folder == halted.folder
    for name in ("mesh.obj", "mesh.png"):
        assert (resumed.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    assert main(["--resume", str(halted.folder), "--device", "cpu"]) == 0
    assert f"{halted.folder}: all steps are done, and exported; nothing is left to do" in capsys.readouterr().out


def test_a_first_stage_that_cannot_begin_leaves_nothing(recipe: Path, tmp_path: Path):
    broken = tmp_path / "broken.obj"
    broken.write_text("v 0 0\n")
    words = [f"stages.0.system.geometry.path={broken}", "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main(["--config", str(recipe), *words]) == 2
    assert list((tmp_path / "out").iterdir()) == []


def test_what_a_later_stage_lacks_is_told_before_the_first_is_trained(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    lacking = f"stages.2.system.geometry.path={tmp_path}/prevous/mesh.obj"
    assert main(["--config", str(recipe), lacking, "--out", str(tmp_path / "out"), "--device", "cpu"]) == 2
    assert f"stages.2: system.geometry.path: {tmp_path}/prevous/mesh.obj: no such file" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_run_that_a_later_stage_begins_with_and_that_is_not_there_is_told_before_the_first_is_trained(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    lacking = f"stages.1.start_from={tmp_path}/a-blue-ball-123456"
    assert main(["--config", str(recipe), lacking, "--out", str(tmp_path / "out"), "--device", "cpu", "--dry-run"]) == 2
    assert f"stages.1: start_from: {tmp_path}/a-blue-ball-123456: no such run" in capsys.readouterr().err


def test_a_recipe_of_stages_does_not_go_on_with_a_run_of_one(
    recipe: Path, whole: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for run, fault in ((whole.stages[0], "has no stages, this recipe has 3"), (tmp_path / "none", "no such run")):
        assert main(["--config", str(recipe), "--resume", str(run), "--device", "cpu"]) == 2
        assert fault in capsys.readouterr().err


@pytest.mark.parametrize("content", ["{", '["a red ball"]', "[1, 2, 3]"])
def test_prompts_that_cannot_be_read_are_not_taken_for_others(
    content: str, whole: Run, capsys: pytest.CaptureFixture[str]
):
    noted = whole.folder / "prompts.json"
    before = noted.read_text()
    noted.write_text(content)
    assert main(["--resume", str(whole.folder), "--device", "cpu"]) == 2
    noted.write_text(before)
    assert "prompts.json: no list of 3 prompts, one for each stage" in capsys.readouterr().err


def test_stages_keep_their_own_prompts_and_what_the_environment_says_stays_out(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Stopped in the first stage, so that the others' prompts are known from what was noted alone."""
    monkeypatch.setenv("COLOUR", "hunter2")
    mine = tmp_path / "mine.yaml"
    own = json.loads(recipe.read_text())
    own["prompt"] = "a ${oc.env:COLOUR} ball"
    own["stages"][1]["prompt"] = "a ball: $5, {'}"
    mine.write_text(json.dumps(own))
    stop = Stop()
    halted = train(mine, out=tmp_path / "out", device="cpu", on_event=lambda _: stop.request(), stop=stop)
    assert not halted.is_finished
    assert main(["--resume", str(halted.folder), "--device", "cpu"]) == 0
    stages = [Run.load(halted.folder / name, device="cpu") for name in NAMES]
    assert [run.recipe.shown_prompt for run in stages] == [
        "a ${oc.env:COLOUR} ball",
        "a ball: $5, {'}",
        "a ${oc.env:COLOUR} ball",
    ]
    assert [run.system.prompt for run in stages[::2]] == ["a hunter2 ball"] * 2
    texts = [path for path in halted.folder.rglob("*") if path.is_file()]
    assert [path for path in texts if b"hunter2" in path.read_bytes()] == []


@pytest.mark.parametrize("content", ["5", "null", '[""]', '[".."]', '{"a": 1}', "[3]"])
def test_a_list_of_stages_that_is_none_of_ours_names_none(content: str, tmp_path: Path):
    (tmp_path / STAGES).write_text(content)
    assert stages_in(tmp_path) == []


def test_the_dry_run_names_all_stages(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["--config", str(recipe), "--out", str(tmp_path / "out"), "--device", "cpu", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "then: 2-latent-paint, 4 steps; contact-sheet, painted-mesh" in said
    assert [f"time of {name}: about" in said for name in NAMES] == [True] * 3
    assert "time of all stages: about" in said
    assert not (tmp_path / "out").exists()


def test_a_stage_that_reads_what_nothing_stands_in_for_is_left_out_of_the_dry_run(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ["--config", str(recipe), "--out", str(tmp_path / "out"), "--device", "cpu", "--dry-run"]
    assert main([*words, "stages.2.system.geometry.path=previous/mesh.stl"]) == 0
    said = capsys.readouterr().out
    assert "time of 2-latent-paint: about" in said
    assert "3-latent-paint reads what cannot be known before: its time and memory come on top" in said
    assert not (tmp_path / "out").exists()
