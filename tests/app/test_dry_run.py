"""Dry runs: all is built and gone through, on views of any kind and in the training's precision; nothing is written."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from app import dry_run
from app.cli import main
from app.parts import register_parts
from app.plan import Request, make_plan
from core.part import find
from tests.app.small_command import ROOT, ball_command, runs
from tests.told_models import make_told_model


def test_dry_run_builds_everything_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ball_command(tmp_path)
    assert main([*command, "--prompt", "a blue ball", "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert "geometry voxels, background solid, renderer volume, guidance target-image" in text
    assert "trained parameters: 6,912\n" in text  # 12^3 cells of a density and three colours
    assert "steps: 3 on cpu in 32-true" in text
    assert re.search(r"time: about \S+ s a step, \d+:\d\d for 3\n", text)
    assert runs(command) == []


def test_known_pictures_from_any_side_are_gone_through(tmp_path: Path) -> None:
    """Seven views around: only the first is one of those that people are shown."""
    assert main([*ball_command(tmp_path, n_views=7), "--prompt", "a ball", "--dry-run"]) == 0


def test_memory_holds_a_whole_batch_of_drawn_views_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [*ball_command(tmp_path), "--prompt", "a ball", "--dry-run"]
    assert main(command) == 0
    found = re.search(r"about (\S+) GiB at the peak of a step, up to (\S+) GiB with the views", capsys.readouterr().out)
    assert found is not None
    assert 0 < float(found[1]) <= float(found[2])


@pytest.mark.parametrize(("exporters", "expected"), [("[]", [4]), ("[{type: turntable}]", [64])])
def test_views_are_drawn_as_previews_and_turntables_draw_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exporters: str, expected: list[int]
) -> None:
    """A turntable renders 2^14 rays together: 64 views of 16 x 16."""
    register_parts()
    drawn: list[int] = []
    system: Any = find("system", "latent-nerf")
    render = system.render

    def counted(self: Any, cameras: Any, with_normals: bool = False) -> Any:
        drawn.append(len(cameras))
        return render(self, cameras, with_normals)

    monkeypatch.setattr(system, "render", counted)
    assert main([*ball_command(tmp_path), "--prompt", "a ball", "--dry-run", f"exporters={exporters}"]) == 0
    assert drawn == expected


def test_the_step_runs_in_the_training_s_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register_parts()
    mixed: list[bool] = []
    system: Any = find("system", "latent-nerf")
    compute_loss = system.compute_loss

    def watched(self: Any, *given: Any) -> Any:
        mixed.append(torch.is_autocast_enabled("cpu"))
        return compute_loss(self, *given)

    monkeypatch.setattr(system, "compute_loss", watched)
    command = [*ball_command(tmp_path), "--prompt", "a ball", "--dry-run"]
    for precision in ("bf16-mixed", "32-true"):
        assert main([*command, f"trainer.precision={precision}"]) == 0
    assert mixed == [True, True, False, False]


def test_the_mean_step_is_that_of_all_sizes_and_of_steps_that_follow_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures of 4 x 4 for a quarter of the steps, then of 8 x 8; of eight steps, the first asks the denoiser."""
    register_parts()
    model = make_told_model(tmp_path / "model", n_together=2)
    settings = {
        "system.guidance": f"{{model: '{model}', loss: reconstruction, fits: 8}}",
        "system.views.from_model": "false",
        "system.latent_size": "{start: 4, end: 8, from: 0.22, to: 0.24}",
        "system.renderer": "{samples_per_ray: 12, occupancy_resolution: 16}",
        "trainer.max_steps": 160,
        "exporters": "[]",
    }
    overrides = tuple(f"{key}={value}" for key, value in settings.items())
    plan = make_plan(Request(recipe=ROOT / "configs" / "latent-nerf.yaml", overrides=overrides, device="cpu"))
    monkeypatch.setattr(
        dry_run, "_one_pass", lambda system, _, step: system.size_at(step) * (10.0 if step % 8 == 0 else 1)
    )
    assert dry_run.measured(plan).seconds_per_step == pytest.approx((0.25 * 4 + 0.75 * 8) * (10 + 7 * 1) / 8)
