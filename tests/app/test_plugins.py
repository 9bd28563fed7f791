"""Parts of every kind from plugin files of their own, each under 40 lines, in whole runs."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch

from app import api
from app.cli import main
from core.errors import UserError
from tests.app.small_command import ROOT, ball_command
from tests.known_ball import write_ball_views
from tests.systems.small_paint import write_ball
from tests.tiny_pipelines import make_tiny_model

PLUGINS = ROOT / "tests" / "plugins"
#: Those that do harm on purpose show nobody how to write a part.
TROUBLED = {PLUGINS / "faulty_guidance.py", PLUGINS / "troubled_loss.py"}
#: A field, renderer and trainer that take a second for a few steps.
SMALL = [
    "system.geometry={type: hash-grid, n_levels: 3, base_resolution: 4, finest_resolution: 16, log2_table_size: 10, "
    "hidden_width: 16, bound: 0.6, blob_height: 8}",
    "system.renderer.occupancy_resolution=16",
    "system.renderer.samples_per_ray=16",
    "trainer.preview_every=0",
    "trainer.checkpoint_every=0",
    "exporters=[]",
]


def small(folder: Path, guidance: str = "target-image", views: str = "posed-pictures", **more: object) -> list[str]:
    """What makes configs/latent-nerf-single-view.yaml small and lets known pictures of a ball guide it."""
    pictures = write_ball_views(folder / "views", n_views=8)
    return [
        *SMALL,
        f"system.guidance={{type: {guidance}, folder: {pictures}, size: 16}}",
        f"system.views={{type: {views}, n_views: 2, from_model: false}}"
        if views == "from-above"
        else f"system.views={{type: {views}, n_views: 2}}",
        "system.background.type=solid",
        *(f"{key}={value}" for key, value in more.items()),
    ]


def train(folder: Path, plugin: Path, overrides: list[str], steps: int = 6, **more: Any) -> api.Run:
    return api.train(
        ROOT / "configs" / "latent-nerf-single-view.yaml",
        "a ball",
        overrides=[*overrides, f"trainer.max_steps={steps}"],
        out=folder / "runs",
        plugins=[plugin],
        device="cpu",
        **more,
    )


def logged(run: Path, column: str) -> list[float]:
    with (run / "metrics.csv").open() as file:
        return [float(row[column]) for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    "plugin", [*sorted(set(PLUGINS.glob("[a-z]*.py")) - TROUBLED), ROOT / "examples" / "my_loss.py"], ids=str
)
def test_a_plugin_is_short(plugin: Path):
    assert len(plugin.read_text().splitlines()) < 40


def test_a_loss(tmp_path: Path):
    losses = "system.losses={smooth: {type: smooth-depth, weight: 0.5}}"
    run = train(tmp_path, ROOT / "examples" / "my_loss.py", [*small(tmp_path), losses])
    (first, *_), (total, *_) = logged(run.folder, "loss/smooth"), logged(run.folder, "loss")
    assert first > 0
    assert total == pytest.approx(logged(run.folder, "loss/sds")[0] + 0.5 * first, rel=1e-4)


def test_guidance_that_uses_the_depth(tmp_path: Path):
    near, far = (
        train(
            tmp_path / str(weight),
            PLUGINS / "depth_guidance.py",
            [*small(tmp_path, "at-a-distance"), f"system.losses={{sds: 0.1, distance: {weight}}}"],
            steps=40,
        )
        for weight in (0.0, 30.0)
    )
    assert logged(far.folder, "loss/distance")[-1] < 0.95 * logged(near.folder, "loss/distance")[-1]


def test_views(tmp_path: Path):
    overrides = [*small(tmp_path, views="from-above"), "system.guidance.folder=null"]
    with pytest.raises(UserError, match=r"system\.guidance\.folder: target-image needs a folder of pictures"):
        train(tmp_path, PLUGINS / "views_from_above.py", overrides)
    overrides = [*small(tmp_path, views="from-above")]
    with pytest.raises(UserError, match=r"system\.views: 'target-image' knows pictures from a few cameras alone"):
        train(tmp_path, PLUGINS / "views_from_above.py", overrides)


def test_guidance_that_learns(tmp_path: Path):
    """Its weights move, a stopped and resumed training ends with the same bits, and no checkpoint holds the model."""
    overrides = [
        *SMALL,
        f"system.guidance={{type: corrected-sds, model: {make_tiny_model(tmp_path / 'model')}}}",
        "system.views={type: from-above, n_views: 2, from_model: false, radius: [1.5, 1.5], fovy_deg: [45, 45]}",
        f"plugins=[{PLUGINS / 'views_from_above.py'}]",
        "system.background.type=solid",
        "trainer.checkpoint_every=3",
    ]
    plugin = PLUGINS / "trained_guidance.py"
    whole = train(tmp_path / "whole", plugin, overrides)
    stop = api.Stop()

    def stop_at_three(event: object) -> None:
        if getattr(event, "step", 0) == 3:
            stop.request()

    begun = train(tmp_path / "halves", plugin, overrides, stop=stop, on_event=stop_at_three)
    assert begun.step == 3
    resumed = train(tmp_path / "halves", plugin, overrides, resume=begun.folder)
    first, second = whole.system.state_dict(), resumed.system.state_dict()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    learnt = [name for name in first if name.startswith("guidance.")]
    assert learnt == ["guidance.correction.weight", "guidance.correction.bias"]
    before = dict(begun.system.state_dict())
    assert not torch.equal(before["guidance.correction.weight"], first["guidance.correction.weight"])
    denoiser = sum(p.numel() for p in whole.system.guidance.model.denoiser.parameters())  # pyright: ignore
    assert sum(p.numel() for p in whole.system.parameters()) < denoiser


def test_an_exporter_that_does_not_fit_is_refused_by_the_dry_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    command = [*ball_command(tmp_path), "--prompt", "a ball", "--plugin", str(PLUGINS / "mesh_exporter.py")]
    assert main([*command, "exporters=[{type: contact-sheet}, {type: face-count}]", "--dry-run"]) == 2
    error = capsys.readouterr().err
    assert error == "error: exporters.1: 'face-count' counts the faces of a mesh; use latent-paint\n"
    assert not (tmp_path / "runs").exists()


def test_a_sketch_is_kept_through_the_rgb_stage(tmp_path: Path):
    ball = write_ball(tmp_path / "ball.ply")
    sketch = f"system.losses.sketch={{type: sketch-shape, path: {ball}, scale: 0.4, lenience: 0.05, weight: 30}}"
    every_sample = (
        "system.renderer.occupancy_warmup_steps=1000"  # nothing is skipped: all means are of the same samples
    )
    first = train(tmp_path, PLUGINS / "depth_guidance.py", [*small(tmp_path), sketch, every_sample], steps=20)
    geometry = SMALL[0].removeprefix("system.geometry=")
    refined = api.train(
        ROOT / "configs" / "latent-nerf-rgb.yaml",
        "a ball",
        overrides=[
            *SMALL[1:],
            "system.views={type: posed-pictures, n_views: 2}",
            "system.background.type=solid",
            f"system.geometry={{type: rgb-field, inner: {geometry}, n_latents: 3}}",
            f"system.guidance={{type: rgb, inner: {{type: target-image, folder: {tmp_path / 'views'}, size: 16}}}}",
            sketch,
            every_sample,
            "system.rays=whole",
            "trainer.max_steps=31",
        ],
        out=tmp_path / "refined",
        start_from=first.folder,
        device="cpu",
    )
    falling = logged(refined.folder, "loss/sketch")
    assert falling[-1] < falling[0]
