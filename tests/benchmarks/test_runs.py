"""The benchmark's trainings: real child processes; what is finished is kept, what was interrupted begins anew."""

import json
from pathlib import Path

import pytest

from app.api import untrained_system
from app.parts import register_parts
from benchmarks.runs import BenchmarkRun, RunFailedError, Trainings, plan_run, weights_mark
from benchmarks.toy_prompts import toy_prompts

RECIPE = Path("configs/latent-nerf.yaml")


@pytest.fixture
def trainings():
    return Trainings("cpu", n_threads=1)


def test_finished_run_is_not_trained_again(tmp_path, trainings):
    run = BenchmarkRun(toy_prompts()[0], "prompt", Path("there-is-no-such.yaml"), (), tmp_path)
    (tmp_path / "trained.json").write_text(json.dumps({"seconds": 12.5, "commit": "abc"}))
    assert trainings.train(run) == 12.5


def test_failed_run_says_why_and_leaves_no_note(tmp_path, trainings):
    run = BenchmarkRun(toy_prompts()[0], "prompt", Path("there-is-no-such.yaml"), (), tmp_path / "run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "half-done").touch()  # left by an interrupted one
    with pytest.raises(RunFailedError, match=r"there-is-no-such\.yaml.*log\.txt"):
        trainings.train(run)
    assert not (run.folder / "trained.json").exists()
    assert not (run.folder / "half-done").exists()


def test_stopped_trainings_start_no_more(tmp_path, trainings):
    trainings.stop()
    with pytest.raises(RunFailedError, match="stopped"):
        trainings.train(BenchmarkRun(toy_prompts()[0], "prompt", RECIPE, (), tmp_path / "run"))


def test_folder_follows_what_the_result_depends_on(tmp_path):
    register_parts()
    prompt, other = toy_prompts()[:2]

    def folder(*overrides: str, of=prompt) -> Path:
        return plan_run(of, "prompt", RECIPE, overrides, tmp_path).folder

    assert folder() == folder()
    assert len({folder(), folder("trainer.max_steps=3"), folder(of=other)}) == 3


def test_ceiling_keeps_field_and_length_and_is_told_no_text(tmp_path):
    register_parts()
    overrides = ("trainer.max_steps=7", "system.guidance.guidance_scale=12")
    run = plan_run(toy_prompts()[0], "pictures", RECIPE, overrides, tmp_path)
    assert "trainer.max_steps=7" in run.overrides
    assert "system.guidance.type=target-image" in run.overrides
    assert not any("guidance_scale" in setting for setting in run.overrides)
    assert len(list(tmp_path.glob("pictures/*/*.png"))) == 60
    untrained_system(run.config, prompt=run.prompt.text, overrides=run.overrides)  # its parts fit each other


def test_mark_of_the_weights_follows_the_parts_that_count():
    marks = {parts: weights_mark("toybox", parts) for parts in (("vae",), ("unet",), ("vae", "unet"))}
    assert len(set(marks.values())) == 3
    assert weights_mark("toybox", ("vae",)) == marks[("vae",)]
