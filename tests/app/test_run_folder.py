"""Run folders: their names, that nothing is overwritten, that prompts and recipes come back as they were."""

import contextlib
import multiprocessing
import os
import re
import shutil
import socket
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from app.lock import locked
from app.machine import check_out
from app.run_folder import (
    TrainedRun,
    find_run,
    latest_run,
    make_run_folder,
    read_prompt,
    remove_new_run,
    run_name,
    slug,
    write_prompt,
    write_recipe,
)
from core.errors import MachineError, UserError
from core.kinds import System
from core.part import Choice
from core.recipe import Recipe, dump_recipe, read_recipe
from systems.checkpoint_files import CheckpointFiles, checkpoint_path


@pytest.fixture
def recipe(registry: None) -> Recipe:
    class Method(System, name="test-method"):
        @dataclass(frozen=True)
        class Config:
            weight: float = 1.0
            mesh: Path | None = None

    return Recipe(Choice.of(Method), prompt="a red mushroom", seed=3)


def new_run_folder(out: Path, recipe: Recipe) -> Path:
    """A run's folder with what tells how it was made."""
    folder = make_run_folder(out, recipe)
    write_prompt(folder, recipe.prompt)
    write_recipe(folder, recipe)
    return folder


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a red mushroom", "a-red-mushroom"),
        ("robot: the movie", "robot-the-movie"),
        ("[Red] dragon's  café #1", "red-dragons-cafe-1"),
        ("../../etc/passwd", "etc-passwd"),
        ("🍄", ""),
        ("word " * 100, "word-word-word-word-word-word-word-word-word"),
        ("x" * 500, "x" * 48),
    ],
)
def test_slugs(prompt: str, expected: str) -> None:
    assert slug(prompt) == expected


def test_a_run_is_named_by_prompt_recipe_and_seed(recipe: Recipe) -> None:
    name = run_name(recipe)
    assert re.fullmatch(r"a-red-mushroom-[0-9a-f]{6}", name)
    assert run_name(replace(recipe)) == name
    changed = [
        replace(recipe, seed=4),
        replace(recipe, prompt="A red mushroom"),
        replace(recipe, system=Choice.of(recipe.system.part, weight=2.0)),
    ]
    assert len({name, *map(run_name, changed)}) == 4
    assert run_name(replace(recipe, prompt="🍄")).startswith("test-method-")


def test_the_same_command_again_never_overwrites(tmp_path: Path, recipe: Recipe) -> None:
    folders = [new_run_folder(tmp_path / "deep" / "runs", recipe) for _ in range(3)]
    name = run_name(recipe)
    assert [folder.name for folder in folders] == [name, f"{name}-2", f"{name}-3"]


@pytest.mark.parametrize("prompt", ["a [red] ${x}: #1 'q' \"p\"", "???", "lines\r\nand 🍄\ttabs ", ""])
def test_prompt_and_recipe_come_back_as_they_were(tmp_path: Path, recipe: Recipe, prompt: str) -> None:
    folder = new_run_folder(tmp_path, replace(recipe, prompt=prompt))
    assert read_prompt(folder) == prompt
    again = read_recipe(folder / "recipe.yaml")
    assert replace(again, prompt=prompt) == replace(recipe, prompt=prompt)


def test_a_place_that_cannot_hold_runs_is_a_clear_fault(tmp_path: Path, recipe: Recipe) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Choose another folder with --out"):
        new_run_folder(tmp_path / "file", recipe)


@pytest.mark.parametrize("was_there", [False, True])
def test_a_run_that_cannot_begin_goes_with_the_folder_that_was_made_for_it(
    tmp_path: Path, recipe: Recipe, was_there: bool
) -> None:
    out = tmp_path / "runs"
    if was_there:
        out.mkdir()
    folder = make_run_folder(out, recipe)
    write_recipe(folder, recipe)
    other = make_run_folder(out, recipe)
    remove_new_run(folder, with_parent=not was_there)
    assert list(out.iterdir()) == [other]
    remove_new_run(other, with_parent=not was_there)
    assert out.exists() == was_there


def test_a_recipe_names_what_lies_in_its_run_so_that_the_run_can_be_moved(tmp_path: Path, recipe: Recipe) -> None:
    folder = make_run_folder(tmp_path / "runs", recipe)
    inside = replace(recipe, system=Choice.of(recipe.system.part, mesh=folder / "inputs" / "a.obj"))
    write_recipe(folder, inside)
    assert "mesh: inputs/a.obj\n" in (folder / "recipe.yaml").read_text()
    moved = folder.rename(tmp_path / "moved")
    assert read_recipe(moved / "recipe.yaml").system.config.mesh == moved / "inputs" / "a.obj"
    elsewhere = replace(recipe, system=Choice.of(recipe.system.part, mesh=tmp_path / "b.obj"))
    write_recipe(moved, elsewhere)
    assert read_recipe(moved / "recipe.yaml").system.config.mesh == tmp_path / "b.obj"


def test_going_on_with_another_recipe_keeps_the_old_one(tmp_path: Path, recipe: Recipe) -> None:
    folder = new_run_folder(tmp_path, recipe)
    before = (folder / "recipe.yaml").read_text()
    write_recipe(folder, recipe)
    assert not (folder / "recipe-1.yaml").exists()
    write_recipe(folder, replace(recipe, seed=9))
    assert (folder / "recipe-1.yaml").read_text() == before
    assert "seed: 9" in (folder / "recipe.yaml").read_text()


def test_a_recipe_is_there_whenever_the_process_is_killed(
    tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at the first, the second ... move of a file: what is there reads as the recipe before or after."""
    folder = new_run_folder(tmp_path, recipe)
    texts = {dump_recipe(recipe), dump_recipe(replace(recipe, seed=9))}
    replace_file = Path.replace
    for n_moves in range(3):
        left = [n_moves]

        def move(self: Path, target: Path, left: list[int] = left) -> Path:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return replace_file(self, target)

        with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
            patch.setattr(Path, "replace", move)
            patch.setattr(Path, "rename", move)
            write_recipe(folder, replace(recipe, seed=9))
        assert (folder / "recipe.yaml").read_text() in texts
    assert "seed: 9" in (folder / "recipe.yaml").read_text()


def saved(folder: Path, step: int, age_s: float) -> Path:
    """A whole checkpoint of so many seconds ago."""
    path = checkpoint_path(folder, step)
    CheckpointFiles().save_checkpoint({"global_step": step, "state_dict": {}}, path)
    os.utime(path, (time.time() - age_s, time.time() - age_s))
    return path


def test_the_latest_run_is_the_one_with_the_newest_checkpoint(tmp_path: Path, recipe: Recipe) -> None:
    assert latest_run(tmp_path, recipe) is None
    folders = [new_run_folder(tmp_path, recipe) for _ in range(3)]
    stranger = new_run_folder(tmp_path, replace(recipe, seed=8))
    for age, folder in ((20, folders[0]), (10, folders[1]), (0, stranger)):
        for step in (3, 7):
            saved(folder, step, age)
    (folders[2] / "checkpoints" / ".step-000009-abcd1234").mkdir(parents=True)  # was being written
    found = latest_run(tmp_path, recipe)
    assert found == TrainedRun(folders[1], checkpoint_path(folders[1], 7))


def test_a_run_is_found_by_its_folder_and_by_each_of_its_checkpoints(tmp_path: Path, recipe: Recipe) -> None:
    folder = new_run_folder(tmp_path, recipe)
    older, newer = saved(folder, 3, 1), saved(folder, 7, 0)
    assert find_run(folder) == TrainedRun(folder, newer)
    assert find_run(folder).step == 7
    assert find_run(folder / "checkpoints" / "last.ckpt") == TrainedRun(folder, newer)
    assert find_run(older) == find_run(older / "state.ckpt") == TrainedRun(folder, older)


def test_checkpoints_of_an_earlier_version_are_named(tmp_path: Path, recipe: Recipe) -> None:
    folder = new_run_folder(tmp_path, recipe)
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.ckpt").write_bytes(b"x")
    with pytest.raises(UserError, match=r"last\.ckpt: written by a version before runs had SHA256SUMS; export it with"):
        find_run(folder)
    assert latest_run(tmp_path, recipe) is None


def test_what_a_killed_process_was_writing_is_swept_under_the_lock(tmp_path: Path, recipe: Recipe) -> None:
    folder = new_run_folder(tmp_path, recipe)
    kept = set(folder.rglob("*"))
    (folder / "checkpoints" / ".step-000009-abcd1234").mkdir(parents=True)
    (folder / "checkpoints" / ".step-000009-abcd1234" / "state.ckpt").write_bytes(b"half")
    (folder / "checkpoints" / ".last-abcd1234.ckpt").write_bytes(b"half")
    (folder / ".mesh-x_yz0123.glb").write_bytes(b"half")
    with locked(folder):
        pass
    assert set(folder.rglob("*")) == {*kept, folder / ".lock", folder / "checkpoints"}


def test_a_folder_that_vanished_is_told_at_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with pytest.raises(MachineError, match=r"run: the run's folder has been removed"), locked(folder):
        shutil.rmtree(folder)


def _hold(folder: Path, ready: object, release: object) -> None:
    with locked(folder):
        ready.set()  # pyright: ignore[reportAttributeAccessIssue]
        release.wait(30)  # pyright: ignore[reportAttributeAccessIssue]


def test_two_processes_cannot_work_in_one_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ready, release = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path, ready, release))
    other.start()
    assert ready.wait(30)
    held = rf"another process works here \(process {other.pid} on {re.escape(socket.gethostname())}\); wait for it"
    with pytest.raises(MachineError, match=held), locked(tmp_path):
        pass
    release.set()
    other.join(30)
    with locked(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()} on {socket.gethostname()}"


@pytest.mark.parametrize("name", [".lock", "metrics.csv", "previews", "checkpoints/step-000004"])
def test_nothing_is_written_through_a_link(tmp_path: Path, name: str) -> None:
    mine = tmp_path / "mine"
    mine.write_text("precious") if name in (".lock", "metrics.csv") else mine.mkdir()
    run = tmp_path / "run"
    (run / name).parent.mkdir(parents=True)
    (run / name).symlink_to(mine)
    with pytest.raises(UserError, match=rf"run/{name}: a link or no file"), locked(run):
        pass
    assert mine.is_dir() or mine.read_text() == "precious"


def test_a_lock_that_is_a_pipe_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".lock")
    with pytest.raises(UserError, match=r"\.lock: a link or no file"), locked(tmp_path):
        pass


def test_a_prompt_that_is_no_text_or_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "prompt.txt")
    assert read_prompt(tmp_path) == ""
    (tmp_path / "prompt.txt").unlink()
    (tmp_path / "prompt.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"prompt\.txt: not a text in UTF-8"):
        read_prompt(tmp_path)


def test_a_place_for_runs_is_tried_before_anything_costs(tmp_path: Path) -> None:
    check_out(tmp_path / "not" / "there" / "yet", 1000)
    check_out(tmp_path, 1000)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--out: .*/file is a file; give a folder"):
        check_out(tmp_path / "file" / "below", 1000)
    for place in ("/proc/none", "/sys/none", "/dev/null/x"):
        with pytest.raises(UserError, match=r"^--out: "):
            check_out(Path(place), 1000)
    with pytest.raises(MachineError, match=r"needs 8 EiB for the checkpoints of this recipe, and .*iB are left"):
        check_out(tmp_path, 2**63)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
@pytest.mark.fault("a user without rights to --out", "refused with exit code 3 before anything is built")
def test_a_folder_of_somebody_else(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    context = multiprocessing.get_context("fork")
    code = context.Value("i", -1)

    def try_as_nobody() -> None:
        os.setuid(65534)
        try:
            check_out(tmp_path / "runs", 0)
        except MachineError as error:
            code.value = error.exit_code if "Permission denied" in str(error) else 1

    child = context.Process(target=try_as_nobody)
    child.start()
    child.join(60)
    assert code.value == 3
