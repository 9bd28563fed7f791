"""Changes while a run is trained: what they do, that they are written down, and that a resume makes them again."""

import json
from pathlib import Path

import pytest
import torch

from app.api import Run, train
from app.events import Event, Started, Stepped
from app.live.edits import EDITS, Edit, Steering, last_prompt, read_edits
from app.stopping import Stop
from core.errors import UserError
from core.kinds import System
from tests.tiny_pipelines import make_tiny_model

ROOT = Path(__file__).parents[3]
GUIDANCE = "system.guidance"


@pytest.fixture(scope="module")
def overrides(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Latent-NeRF by score distillation from a tiny random model."""
    model = make_tiny_model(tmp_path_factory.mktemp("model"))
    settings = {
        "system.guidance.model": model,
        "system.views.from_model": "false",
        "system.views.n_views": 2,
        "system.renderer.samples_per_ray": 12,
        "system.renderer.occupancy_resolution": 16,
        "trainer.max_steps": 8,
        "trainer.checkpoint_every": 0,
        "trainer.preview_every": 0,
        "exporters": "[]",
    }
    return [f"{key}={value}" for key, value in settings.items()]


CHANGES: dict[int, list[tuple[str, object]]] = {
    0: [(f"{GUIDANCE}.guidance_scale", 20.0)],
    2: [("prompt", "a blue ball"), (f"{GUIDANCE}.negative_prompt", "red")],
    5: [
        ("system.losses.sparsity.weight", {"start": 0.5, "end": 0.1, "from": 0.0, "to": 1.0}),
        ("system.losses.sds", 2),
    ],
}


def steered(overrides: list[str], out: Path, stop_after: int = 99, resume: bool = False, changes: bool = True) -> Run:
    """A run whose settings change on the way; it is stopped after a step."""
    steering, stop = Steering(), Stop()

    def listen(event: Event) -> None:
        if isinstance(event, Started | Stepped):
            for setting, value in CHANGES.get(event.step, []) if changes else []:
                steering.ask(setting, value)
            if event.step == stop_after:
                stop.request()

    recipe = ROOT / "configs" / "latent-nerf-single-view.yaml"
    return train(
        recipe, "a ball", overrides=overrides, out=out, resume=resume, on_event=listen, stop=stop, steering=steering
    )


def assert_same(first: System, second: System) -> None:
    """All weights and buffers are equal, bit for bit."""
    assert isinstance(first, torch.nn.Module)
    assert isinstance(second, torch.nn.Module)
    other = second.state_dict()
    for name, values in first.state_dict().items():
        assert torch.equal(values, other[name]), name


@pytest.fixture(scope="module")
def whole(overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that was changed and never stopped."""
    return steered(overrides, tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("stop_after", [2, 4])
def test_a_resume_makes_all_changes_again_and_ends_in_the_same_bits(
    overrides: list[str], whole: Run, tmp_path: Path, stop_after: int
) -> None:
    """The stopped run has been changed until its last step; what comes later stands in its file, as after a kill."""
    halted = steered(overrides, tmp_path / "halted", stop_after)
    (halted.folder / EDITS).write_bytes((whole.folder / EDITS).read_bytes())
    resumed = steered(overrides, tmp_path / "halted", resume=True, changes=False)
    assert resumed.folder == halted.folder
    assert_same(whole.system, resumed.system)


def test_a_changed_run_differs_from_one_that_was_left_alone(overrides: list[str], whole: Run, tmp_path: Path) -> None:
    untouched = steered(overrides, tmp_path / "untouched", changes=False)
    with pytest.raises(AssertionError, match="geometry"):
        assert_same(whole.system, untouched.system)


def test_changes_are_lines_of_a_file_and_a_loaded_run_is_as_they_left_it(whole: Run) -> None:
    run = whole
    asked = [Edit(step, setting, value) for step, changes in CHANGES.items() for setting, value in changes]
    assert read_edits(run.folder) == asked
    loaded = Run.load(run.folder).system
    assert (loaded.prompt, loaded.guidance.config.negative_prompt) == ("a blue ball", "red")
    assert loaded.guidance.config.guidance_scale.at(0, 1) == 20.0
    assert last_prompt(run.folder) == "a blue ball"
    assert (run.folder / "prompt.txt").read_text() == "a ball", "the command that made the run stays what it was"


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("prompt", "  ", "prompt: expected a text that says something, got '  '"),
        ("prompt", 3, "prompt: expected a text that says something, got 3"),
        ("prompt", "x" * 2001, "prompt: at most 2000 characters, got 2001"),
        (f"{GUIDANCE}.guidance_scale", -1, "system.guidance.guidance_scale: at least 0, got -1"),
        (f"{GUIDANCE}.guidance_scale", "loud", "system.guidance.guidance_scale: expected a number or a schedule"),
        ("system.losses.sparsity.weight", -2, "system.losses.sparsity.weight: a weight is at least 0, got -2"),
        (f"{GUIDANCE}.model", "toybox", "system.guidance.model: cannot be changed while a run is trained"),
        ("system.losses.sparsty.weight", 1, "Did you mean 'system.losses.sparsity.weight'?"),
    ],
)
def test_what_a_recipe_could_not_say_is_refused_in_one_line_and_changes_nothing(
    overrides: list[str], tmp_path: Path, setting: str, value: object, said: str
) -> None:
    steering, answers = Steering(), []
    steering.ask(setting, value, answers.append)
    short = [*overrides, "trainer.max_steps=1"]
    recipe = ROOT / "configs" / "latent-nerf-single-view.yaml"
    run = train(recipe, "a ball", overrides=short, out=tmp_path, steering=steering)
    assert len(answers) == 1
    assert said in answers[0]
    assert "\n" not in answers[0]
    assert not (run.folder / EDITS).exists()
    assert run.system.prompt == "a ball"


def test_a_change_that_fails_of_itself_ends_no_training_and_changes_nothing(
    overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steering, answers = Steering(), []

    def fail(*_: object) -> None:
        raise RuntimeError("the text encoder is out of order")

    def listen(event: Event) -> None:
        if isinstance(event, Started):
            monkeypatch.setattr(type(event.system.guidance), "prepare", fail)
            steering.ask(f"{GUIDANCE}.negative_prompt", "red", answers.append)

    settings = {"overrides": [*overrides, "trainer.max_steps=1"], "on_event": listen, "steering": steering}
    run = train(ROOT / "configs" / "latent-nerf-single-view.yaml", "a ball", out=tmp_path, **settings)
    assert run.is_finished
    assert len(answers) == 1
    assert "the text encoder is out of order" in answers[0]
    assert run.system.guidance.config.negative_prompt == ""
    assert not (run.folder / EDITS).exists()


def test_a_line_that_was_being_written_when_the_power_went_does_not_count(overrides: list[str], tmp_path: Path) -> None:
    halted = steered(overrides, tmp_path, stop_after=3)
    whole = (halted.folder / EDITS).read_bytes()
    (halted.folder / EDITS).write_bytes(whole + b'{"step": 3, "sett')
    steered(overrides, tmp_path, resume=True, changes=True)
    lines = (halted.folder / EDITS).read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 2, 2, 5, 5]


def test_a_file_that_was_broken_by_hand_is_named_with_its_line(overrides: list[str], tmp_path: Path) -> None:
    halted = steered(overrides, tmp_path, stop_after=3)
    (halted.folder / EDITS).write_text('{"step": 1, "setting": "prompt", "value": "x"}\nhello\n')
    with pytest.raises(UserError, match=r"edits\.jsonl: line 2 is no change of a setting"):
        Run.load(halted.folder)
