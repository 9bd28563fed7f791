"""Two processes with two views each make the step that one process makes with four; what is lost ends the run."""

import os
import re
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from app.api import train
from app.cli import main
from app.ranks import check_divisible
from core.errors import UserError
from systems.base import LightningSystem
from systems.checkpoint_files import newest_whole, read_checkpoint, step_of
from systems.textual_inversion import TextualInversion
from tests.app.children import PATIENCE_SECONDS, Child, only_run
from tests.app.children import train as small_training
from tests.systems.small_systems import distilling_system, fitting_system
from tests.tiny_pipelines import make_tiny_model

ROOT = Path(__file__).parents[2]
RECIPE = """
seed: 5
trainer: {max_steps: 4, preview_every: 0, checkpoint_every: 0}
system:
  type: sketch-shape
  geometry: {type: hash-grid, n_levels: 3, log2_table_size: 12, base_resolution: 4, hidden_width: 16,
    finest_resolution: 16, bound: 0.6}
  background: {type: random-color}
  renderer: {type: volume, samples_per_ray: 16, samples_per_chunk: 6, rays_per_chunk: 100, occupancy_resolution: 16,
    occupancy_warmup_steps: 2, occupancy_refresh_every: 2}
  guidance: {type: latent-sds, model: MODEL, score: asd, noise: surface}
  views: {type: orbit, n_views: 4}
  losses:
    hollow: {type: density, weight: 1.0, min_elevation_deg: 0.0}
    sparsity: {type: opacity-entropy, weight: 0.1}
    sketch: {type: sketch-shape, path: SKETCH, scale: 0.5, sample_stride: 3}
    turned: {type: sketch-normals, path: SKETCH, scale: 0.5, weight: 0.5}
exporters: []
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A diffusion model without knowledge."""
    return make_tiny_model(tmp_path_factory.mktemp("model"), "epsilon", "sd")


def written_recipe(folder: Path, model: Path) -> Path:
    text = RECIPE.replace("MODEL", str(model)).replace("SKETCH", str(ROOT / "sketches" / "car-without-front.obj"))
    path = folder / "recipe.yaml"
    path.write_text(text)
    return path


def gradients(run: Path) -> list[torch.Tensor]:
    """Adam's first moments: sums of gradients, where weights are those sums over their own size."""
    checkpoint = newest_whole(run)
    assert checkpoint is not None
    return [state["exp_avg"] for state in read_checkpoint(checkpoint)["optimizer_states"][0]["state"].values()]


def numbers(run: Path) -> dict[str, float]:
    """The last row of the log."""
    names, *_, last = (run / "metrics.csv").read_text().splitlines()
    row = dict(zip(names.split(","), map(float, last.split(",")), strict=True))
    del row["gradient_rms"]  # a root, which has no mean over ranks
    return {name: value for name, value in row.items() if "second" not in name}


def test_two_ranks_make_the_steps_of_one(tmp_path: Path, model: Path) -> None:
    """The first step; and one of a run that goes on, whose grid skips what is empty. Losses are over samples too."""
    recipe = written_recipe(tmp_path, model)
    for begun in (0, 4):
        one, two = tmp_path / f"one-{begun}", tmp_path / f"two-{begun}"
        for out, devices in ((one, 1), (two, 2)):
            words: dict[str, Any] = {"overrides": [f"trainer.devices={devices}", f"trainer.max_steps={begun + 1}"]}
            if begun:
                shutil.copytree(tmp_path / "begun", out)
                words |= {"resume": only_run(out), "allow_changed": True}
            else:
                words |= {"out": out}
            made = train(recipe, "a red car", **words)
            assert made.step == begun + 1
        ours, theirs = (newest_whole(only_run(out)) for out in (one, two))
        assert ours is not None
        assert theirs is not None
        states = [read_checkpoint(each)["state_dict"] for each in (ours, theirs)]
        assert torch.equal(*(state["renderer.occupancy.occupied"] for state in states))
        for alone, divided in zip(*(gradients(only_run(out)) for out in (one, two)), strict=True):
            assert alone.abs().max() > 0
            torch.testing.assert_close(divided, alone, rtol=1e-3, atol=2e-6 * float(alone.abs().max()))
        if not begun:
            logged = [numbers(only_run(out)) for out in (one, two)]
            assert logged[1] == pytest.approx(logged[0], rel=1e-4)
            train(recipe, "a red car", out=tmp_path / "begun")
        else:
            assert not states[0]["renderer.occupancy.occupied"].all(), "the grid skips something"


def test_what_cannot_be_divided_is_refused(model: Path) -> None:
    system: LightningSystem = distilling_system(model)
    check_divisible(system, 2)
    with pytest.raises(UserError, match="the 2 views of a step cannot be divided among 3 processes equally"):
        check_divisible(system, 3)
    together = fitting_system(1)
    together.views.n_together = 2
    with pytest.raises(UserError, match="in sets of 2 that stay together cannot be divided among 2"):
        check_divisible(together, 2)
    with pytest.raises(UserError, match="'textual-inversion' renders no views"):
        check_divisible(TextualInversion.__new__(TextualInversion), 2)


def test_the_dry_run_says_that_views_are_divided(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--config", str(written_recipe(tmp_path, model)), "--prompt", "a car", "--device", "cpu"]
    words += ["--out", str(tmp_path / "runs"), "--dry-run"]
    assert main([*words, "trainer.devices=2"]) == 0
    assert "the views of each divided among 2 processes" in capsys.readouterr().out
    assert main([*words, "trainer.devices=3"]) == 2
    assert "the 4 views of a step cannot be divided among 3 processes" in capsys.readouterr().err


class Together:
    """A command whose steps two processes make."""

    def __init__(self, folder: Path, turn: int, *more: str) -> None:
        words = small_training(folder / "out", "trainer.devices=2", "trainer.max_steps=100000", "--resume", "auto")
        self.folder = folder
        self.first = Child([*words, *more], folder / f"{turn}.txt", {"STEP_SECONDS": "0.02"})
        self.first.until(lambda: list(folder.glob("out/*/checkpoints/step-*")))
        reached = self.reached
        self.first.until(lambda: self.reached > max(reached, 0) + 1)
        (self.second,) = ranks_of(self.first.process.pid)

    @property
    def reached(self) -> int:
        checkpoint = newest_whole(only_run(self.folder / "out"))
        return step_of(checkpoint) if checkpoint else 0

    def until_gone(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while is_alive(self.second):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def ranks_of(first: int | None) -> list[int]:
    """Processes that a training has started to train with it."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            words = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == first and b"app.ranks" in words:
            found.append(int(folder.name))
    return found


def is_alive(process: int) -> bool:
    try:
        return (Path("/proc") / str(process) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.fault(
    "kill -9 of either of two processes that train one object; Ctrl-C of both",
    "it ends within a minute with a checkpoint and exit code 3 (130), no process stays, and it goes on from there",
)
def test_a_lost_rank_ends_the_run_with_a_checkpoint(tmp_path: Path) -> None:
    both = Together(tmp_path, 0)
    for process in (both.second, both.first.process.pid):  # as a terminal sends it
        assert process is not None
        os.kill(process, signal.SIGINT)
    assert both.first.wait(60) == 130, both.first.said
    both.until_gone()
    saved = both.reached

    both = Together(tmp_path, 1)
    assert both.reached > saved
    os.kill(both.second, signal.SIGKILL)
    began = time.monotonic()
    assert both.first.wait(60) == 3, both.first.said
    assert time.monotonic() - began < 60
    (said,) = re.findall("^error: .*", both.first.said, flags=re.MULTILINE)
    assert "process 2 of the 2 that train this object was killed by SIGKILL" in said
    assert f"--resume {only_run(tmp_path / 'out')}" in said
    saved = both.reached

    both = Together(tmp_path, 2)
    assert both.reached > saved
    both.first.send(signal.SIGKILL)
    assert both.first.wait(60) == -signal.SIGKILL
    both.until_gone()
    goal = both.reached + 2
    words = ["--resume", str(only_run(tmp_path / "out")), f"trainer.max_steps={goal}"]
    last = Child(words, tmp_path / "last.txt")
    assert last.wait() == 0, last.said
    assert both.reached == goal
