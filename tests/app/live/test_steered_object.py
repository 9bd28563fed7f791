"""A real training on the toybox, steered in a real browser: the object takes the new colour, a resume the same."""

import io
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from app.api import Run
from app.live.edits import read_edits
from benchmarks.verdicts import judged_pictures
from systems.checkpoint_files import WEIGHTS, checkpoint_path, read_checkpoint
from systems.contact_sheet import save_png
from tests.app.live.live_command import figures, launched, object_pixels, press, set_text, step_of, until
from tests.artefacts import keep
from tests.chromium import chromium_page, find_chromium
from toybox.judge import load_judge

pytest.importorskip("viser", reason="the live page needs requirements-live.txt")
ROOT = Path(__file__).parents[3]
BROWSER = find_chromium()
BEFORE, N_STEPS = 80, 200
#: For so many steps on a busy machine, in seconds.
LONG_S = 1800.0
COMMAND = [
    "--config",
    str(ROOT / "configs" / "latent-nerf.yaml"),
    "--prompt",
    "a red mushroom",
    "--device",
    "cpu",
    f"trainer.max_steps={N_STEPS}",
    f"trainer.checkpoint_every={BEFORE}",
    "trainer.preview_every=0",
    "exporters=[{type: mesh, resolution: 48, n_faces: 2000, texture_size: 128}]",
]


def judged_colours(run: Path) -> Counter[str]:
    """The object's main colour as the judge names it on eight views."""
    pictures = judged_pictures(Run.load(run, device="cpu").system)
    return Counter(verdict.main for verdict in load_judge().verdicts(pictures.movedim(-1, 1)))


def gone_on(run: Path, checkpoint: Path, folder: Path, *left_out: str) -> Path:
    """A run that has been stopped at a checkpoint of another one, and is resumed in a process of its own.

    With as many threads as the page's command has: sums of another order end in other bits.
    """
    ignored = shutil.ignore_patterns("checkpoints", ".exported", ".lock", *left_out)
    shutil.copytree(checkpoint, checkpoint_path(shutil.copytree(run, folder, ignore=ignored), BEFORE))
    command = [sys.executable, ROOT / "launch.py", "--resume", folder, "--device", "cpu"]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return folder


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_an_edited_prompt_changes_the_judged_colour_and_a_resume_repeats_it(tmp_path: Path) -> None:
    assert BROWSER is not None
    downloads = tmp_path / "downloads"
    with launched([*COMMAND, "--live", "--live-paused"], tmp_path) as command:
        with chromium_page(BROWSER, command.address()) as page:
            page.save_downloads(downloads)
            until(lambda: "paused" in figures(page), "the training waits for somebody to start it")
            press(page, "Go on")
            until(lambda: step_of(page) >= BEFORE, "there is an object", LONG_S)
            press(page, "Pause")
            until(lambda: "paused" in figures(page), "the training is paused")
            changed_at = step_of(page)
            assert changed_at < N_STEPS - 50
            (run,) = (tmp_path / "runs").iterdir()
            kept = shutil.copytree(checkpoint_path(run, BEFORE), tmp_path / "kept")

            until(lambda: object_pixels(page).var() > 20, "the canvas shows an object, not one flat colour")
            front = object_pixels(page)
            page.drag("canvas", -200)
            until(lambda: np.abs(object_pixels(page) - front).mean() > 1, "another side of it is seen")
            press(page, "Export and download")
            until((downloads / "mesh.glb").is_file, "the mesh is saved by the browser")
            content = (downloads / "mesh.glb").read_bytes()
            assert content == (run / "mesh.glb").read_bytes()
            assert trimesh.load_scene(io.BytesIO(content), file_type="glb").area > 0.1

            keep(save_png(tmp_path / "page.png", page.picture()), "live.png")  # to be looked at
            set_text(page, "prompt", "a blue mushroom")
            press(page, "Apply")
            until(lambda: "changes with the next step" in figures(page), "it waits for the next step")
            assert step_of(page) == changed_at, "a paused training makes no step"
            press(page, "Go on")
            until(lambda: "a blue mushroom" in figures(page), "the page says what is made now", LONG_S)
            assert page.faults == []
        command.wait_for(r"mesh: mesh\.glb", LONG_S)  # its browser is killed, and it goes on to its end
        assert command.interrupt() == 0
    (edit,) = read_edits(run)
    assert (edit.setting, edit.value, edit.step) == ("prompt", "a blue mushroom", changed_at)

    resumed = gone_on(run, kept, tmp_path / "resumed")
    whole, again = (checkpoint_path(folder, N_STEPS) for folder in (run, resumed))
    assert (whole / WEIGHTS).read_bytes() == (again / WEIGHTS).read_bytes(), "the same bits"
    adam, same = (read_checkpoint(each)["optimizer_states"][0]["state"] for each in (whole, again))
    torch.testing.assert_close(adam, same, rtol=0, atol=0)
    untouched = gone_on(run, kept, tmp_path / "untouched", "edits.jsonl")
    edited, red = judged_colours(run), judged_colours(untouched)
    print(f"\njudged on 8 views after {N_STEPS} steps: {dict(edited)}; without the edit at {changed_at}: {dict(red)}")
    assert edited["blue"] > 4
    assert red["red"] > 4
