"""Whole commands, end to end, on a user's own field and known pictures of a ball: no network of any kind."""

import logging
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.cli import main
from core.errors import UserError
from core.part import find
from systems.callbacks import MetricsLog
from systems.checkpoint_files import checkpoints_of
from systems.checkpoint_files import step_of as step_of_checkpoint
from tests.app.small_command import EXAMPLE, ROOT, ball_command, runs

PROMPT = "a [red] ball: #1 ${x}"


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The example's recipe, made small, its guidance replaced by known pictures."""
    return ball_command(tmp_path_factory.mktemp("ball"))


@pytest.fixture(scope="module")
def run(command: list[str]) -> Path:
    """One finished run."""
    assert main([*command, "--prompt", PROMPT]) == 0
    (folder,) = Path(command[3]).iterdir()
    return folder


def step_of(folder: Path) -> int:
    return step_of_checkpoint(checkpoints_of(folder)[0])


def test_a_users_own_field_trains_and_leaves_a_complete_run_folder(run: Path) -> None:
    assert run.name.startswith("a-red-ball-1-x-")
    assert (run / "prompt.txt").read_text() == PROMPT
    assert "type: voxels" in (run / "recipe.yaml").read_text()
    assert (run / "previews" / "step-000002.png").stat().st_size > 0
    assert (run / "contact_sheet.png").stat().st_size > 0
    assert len((run / "metrics.csv").read_text().splitlines()) >= 2
    assert step_of(run) == 3


def test_the_same_command_again_leaves_the_first_run_alone(command: list[str], run: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert main([*command, "--prompt", PROMPT]) == 0
    again = run.with_name(run.name + "-2")
    assert step_of(again) == 3
    assert {path: path.read_bytes() for path in before} == before


def test_show_recipe_prints_every_default_and_the_raw_prompt(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--prompt", PROMPT, "--show-recipe"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"# prompt: {PROMPT!r}"
    assert "    learning_rate: 0.05" in lines
    assert "seed: 0" in lines


def _signal_after(step: int, number: signal.Signals) -> Callable[..., None]:
    def send(self: Any, trainer: Any, *_: Any) -> None:
        if trainer.global_step == step:
            os.kill(os.getpid(), number)

    return send


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_a_checkpoint_and_says_how_to_go_on(
    command: list[str],
    number: signal.Signals,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(MetricsLog, "on_train_batch_end", _signal_after(2, number))
        assert main([*command, "--prompt", f"stopped by {number}", "trainer.max_steps=40"]) == code
    (folder,) = [each for each in runs(command) if each.name.startswith(f"stopped-by-{number}")]
    said = capsys.readouterr().err
    assert f"Stopped at step 2 of 40; the checkpoint is saved. Go on with: python launch.py --resume {folder}" in said
    assert step_of(folder) == 2
    assert not (folder / "contact_sheet.png").exists()

    assert main(["--resume", str(folder), "--device", "cpu", "trainer.max_steps=4"]) == 0
    assert step_of(folder) == 4
    assert "max_steps: 40" in (folder / "recipe-1.yaml").read_text()
    assert (folder / "contact_sheet.png").exists()


def test_a_failing_exporter_does_not_keep_the_others_from_their_work(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(self: Any, *_: Any) -> None:
        raise UserError("the field is empty")

    monkeypatch.setattr(find("exporter", "mesh"), "export", fail)
    both = "exporters=[{type: mesh}, {type: contact-sheet}]"
    assert main([*command, "--prompt", "half done", both]) == 2
    out, err = capsys.readouterr()
    assert err.splitlines()[-1] == "error: mesh: the field is empty"
    assert out.splitlines()[-1].endswith("(contact_sheet.png)")


def test_resume_auto_finds_the_run_of_the_same_command_and_does_nothing_twice(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    again = [*command, "--prompt", "again and again", "--resume", "auto"]
    assert main(again) == 0
    (folder,) = [each for each in runs(command) if each.name.startswith("again-and-again")]
    before = {path: path.read_bytes() for path in Path(command[3]).rglob("*") if path.is_file()}
    assert main(again) == 0
    assert f"{folder}: all steps are done, and exported; nothing is left to do" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in Path(command[3]).rglob("*") if path.is_file()} == before

    for name in (".exported", "contact_sheet.png"):  # as if it had been killed in the exports
        (folder / name).unlink()
    assert main(again) == 0
    assert (folder / "contact_sheet.png").exists()


def test_resume_auto_without_a_run_says_so_and_begins_anew(
    command: list[str], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="app"):
        assert main([*command, "--prompt", "never made before", "--resume", "auto"]) == 0
    assert "Nothing to resume: " in caplog.text
    assert "Writing to" in capsys.readouterr().err


def test_export_validate_and_test_of_a_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "contact_sheet.png").unlink()
    assert main(["--export", str(run), "--device", "cpu"]) == 0
    assert (run / "contact_sheet.png").exists()
    assert main(["--validate", str(run), "--device", "cpu"]) == 0
    assert main(["--test", str(run), "--device", "cpu"]) == 0
    assert "validation/opacity: " in capsys.readouterr().out
    assert (run / "previews" / "validation.png").exists()
    assert (run / "previews" / "test.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--config is missing: name a recipe, such as --config configs/latent-nerf.yaml"),
        (["--resume", "nowhere/none-1"], "nowhere/none-1: no such run. There are no runs in nowhere/"),
        (["--resume", "tests/zzzz"], "tests/zzzz: no such run. tests/ holds none of a similar name"),
        (["--resume", "tests/ap"], "tests/ap: no such run. Did you mean 'app'?"),
        (["--resume", "tests/app"], "tests/app: no run: tests/app holds no recipe.yaml. Give a run's folder, or a"),
        (["--export"], "--config is missing"),
    ],
)
def test_commands_that_name_nothing(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_faults_around_a_run(command: list[str], run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--resume", str(run), "--prompt", "something else"]) == 2
    assert "leave --prompt out, or start a new run" in capsys.readouterr().err
    assert main(["--export", str(run), "system.geometry.resolution=14"]) == 2
    assert "step-000003: does not fit this recipe: size mismatch for geometry.grid" in capsys.readouterr().err
    assert main([*command, "--prompt", "not yet trained", "--export"]) == 2
    assert "this command has no run with a checkpoint; train first" in capsys.readouterr().err


def test_a_checkpoint_outside_of_a_run_is_no_place_to_write_in(
    command: list[str], run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = Path(shutil.copytree(run / "checkpoints", tmp_path / "a")) / "step-000003"
    before = sorted(tmp_path.rglob("*"))
    assert main([*command, "--resume", str(alone)]) == 2
    assert f"{alone}: no run: {tmp_path} holds no recipe.yaml" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["trainer.precision=16-mixed"], "trainer.precision: '16-mixed' needs a GPU"),
        (["system.guidance.folder=null"], "'target-image' knows no pictures of its own"),
        (["system.guidance={type: latent-sds, model: toybox}", "prompt=''"], "prompt"),
        (["system.guidance.folder=nowhere"], "nowhere/cameras.json: no such file"),
    ],
)
def test_faults_of_the_input_leave_no_folder(
    command: list[str], overrides: list[str], complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = [*command[:3], str(tmp_path / "runs"), *command[4:]]
    assert main([*elsewhere, *overrides]) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_the_plugin_command_of_the_readme_runs(command: list[str], tmp_path: Path) -> None:
    """Without `plugins:` in a recipe, and with it: a file that is named twice is loaded once."""
    small = [word for word in command[6:] if word != "exporters=[{type: contact-sheet}]"]
    plugin = ["--plugin", str(EXAMPLE.with_suffix(".py")), "--device", "cpu", "--prompt", "a ball", "exporters=[]"]
    house = ROOT / "configs" / "latent-nerf-single-view.yaml"
    for config, more in ((EXAMPLE, []), (house, ["system.geometry.type=voxels"])):
        out = tmp_path / config.stem
        assert main(["--config", str(config), "--out", str(out), *plugin, *more, *small]) == 0
        (made,) = out.iterdir()
        assert step_of(made) == 3
        assert str(EXAMPLE.with_suffix(".py")) in (made / "recipe.yaml").read_text()
        assert main(["--validate", str(made), "--device", "cpu"]) == 0


def test_where_all_checkpoints_are_broken_each_is_named(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Path(shutil.copytree(run, tmp_path / "copy"))
    for state in broken.glob("checkpoints/step-*/state.ckpt"):
        state.write_bytes(state.read_bytes()[:1000])
    assert main(["--export", str(broken)]) == 2
    said = capsys.readouterr().err
    for step in (0, 3):
        name = f"step-{step:06d}: a broken checkpoint: its files are not those that SHA256SUMS was written for"
        assert name in said


def test_all_faults_of_a_recipe_are_told_at_once(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    faulty = [
        *command,
        "--prompt",
        "x",
        "system.geometry.resolutoin=3",
        "system.renderer.samples_per_ray=many",
        "sed=1",
    ]
    assert main(faulty) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: sed: no such setting of a recipe. Did you mean 'seed'?",
        "error: system.geometry.resolutoin: no such setting of VoxelField. Did you mean 'resolution'?",
        "error: system.renderer.samples_per_ray: expected an integer, got 'many'",
    ]
