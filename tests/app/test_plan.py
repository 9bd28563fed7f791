"""From a command's words to its plan: few files on the way, hardly any twice; all of it checked, nothing written."""

import subprocess
import sys
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest

from app import api, cli
from app.plan import Request, make_plan
from core.errors import UserError
from tests.app.small_command import EXAMPLE, ball_command, runs, small_overrides

ROOT = Path(__file__).parents[2]
MOST_FILES, MOST_RETURNS = 15, 10


#: Run in a process of its own, where the tests' type checks wrap no function. Prints a file and a name per function.
#: Range checks lie beside the way with all that they call: what a part and its kind say, and `__post_init__` elsewhere.
PROBE = """
import sys
from app import cli, commands, parts

parts.register_parts()  # beforehand: what a module does when it is imported is no function of the way

def end(plan, options, signals):
    sys.setprofile(None)
    raise SystemExit(0)

root, *arguments = sys.argv[1:]
commands.run = end
known, n_beside = set(), 0

def note(frame, event, _):
    global n_beside
    code = frame.f_code
    name = code.co_filename.removeprefix(root)
    is_ours = name != code.co_filename and code is not end.__code__
    on_the_way = name.startswith(("app/", "core/")) and not name.startswith("core/kinds/")
    is_beside = is_ours and (not on_the_way or code.co_name == "__post_init__")
    if event in ("call", "return") and (n_beside or is_beside):
        n_beside += 1 if event == "call" else -1
    elif event == "call" and is_ours and code not in known and not code.co_name.startswith("<"):
        known.add(code)
        print(name, code.co_name)

sys.setprofile(note)
cli.main(arguments)
"""


def files_in_reading_order(*arguments: str) -> list[str]:
    """The files that someone opens who reads from a command's words to its plan.

    Each function is read once, where it is first called; neighbours in one file are one stop.
    """
    command = [sys.executable, "-c", PROBE, f"{ROOT}/", *arguments, "--dry-run"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for path, _ in groupby(line.split()[0] for line in done.stdout.splitlines())]


def test_options_pass_few_files_and_return_to_few(tmp_path: Path) -> None:
    command = ["--config", "configs/latent-nerf.yaml", "--prompt", "a mug", "seed=3", "--device", "cpu"]
    passed = files_in_reading_order(*command, "--out", str(tmp_path))
    assert passed[0] == "app/cli.py"
    assert {"app/plan.py", "core/recipe.py", "core/settings.py"} <= set(passed), "the whole way is seen"
    assert len(set(passed)) <= MOST_FILES, sorted(set(passed))
    assert len(passed) - len(set(passed)) <= MOST_RETURNS, passed


def test_a_plan_says_what_will_run(tmp_path: Path) -> None:
    overrides = (*small_overrides(tmp_path), "trainer.logger=[]", "exporters=[]")
    plan = make_plan(Request(EXAMPLE, "a [red] ball", overrides, out=tmp_path / "runs", device="cpu"))
    text = plan.text()
    assert text.splitlines()[0] == "prompt: 'a [red] ball'"
    assert "geometry voxels, background solid, renderer volume, guidance target-image" in text
    assert "steps: 3 on cpu in 32-true" in text
    assert "losses beside the guidance's: sparsity" in text
    assert f"run folder: {tmp_path / 'runs' / 'a-red-ball-'}" in text
    assert f"copied into it: {tmp_path / 'views'} (system.guidance.folder)" in text
    assert "numbers are logged as: nothing\nthen: no exporters" in text
    assert not (tmp_path / "runs").exists()


def test_a_plan_names_the_run_that_it_goes_on_with(tmp_path: Path) -> None:
    run = api.train(EXAMPLE, "a ball", overrides=small_overrides(tmp_path), out=tmp_path / "runs", export=False)
    named, newest = Request(run=run.folder), Request(EXAMPLE, "a ball", tuple(small_overrides(tmp_path)), newest=True)
    for request in (named, replace(newest, out=tmp_path / "runs")):
        plan = make_plan(request)
        assert plan.run is not None
        assert plan.run.folder == run.folder
        assert f"run folder: {run.folder} (resumed)" in plan.text()
        assert plan.recipe.system.config.guidance.config.folder.is_relative_to(run.folder)
        assert plan.copies == {}


@pytest.mark.parametrize("mode", [["--dry-run"], []])
def test_an_exporter_that_does_not_fit_is_refused_before_the_training(
    mode: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ball_command(tmp_path)
    exporters = "exporters=[{type: contact-sheet}, {type: painted-mesh}, {type: mesh}]"
    assert cli.main([*command, "--prompt", "a ball", exporters, *mode]) == 2
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        "error: exporters.1: 'painted-mesh' cannot export 'voxels'; it takes: textured-mesh",
    ]
    assert "Everything fits" not in said.out
    assert runs(command) == []


PLUGIN = '''
from dataclasses import dataclass

from core.kinds import Exporter


class Sculpture(Exporter, name="sculpture"):
    """Nothing is good enough for it."""

    @dataclass(frozen=True)
    class Config:
        """It has no settings."""

    def __init__(self, config):
        self.config = config

    def accepts(self, system):
        return f"wants marble; '{system.geometry.part_name}' is none"

    def export(self, system, run_folder):
        return []
'''


def test_a_user_s_own_exporter_is_asked_too(tmp_path: Path, registry: None, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sculpture.py").write_text(PLUGIN)
    words = ["--prompt", "a ball", "--plugin", str(tmp_path / "sculpture.py"), "exporters=[{type: sculpture}]"]
    assert cli.main([*ball_command(tmp_path), *words, "--dry-run"]) == 2
    assert capsys.readouterr().err == "error: exporters.0: 'sculpture' wants marble; 'voxels' is none\n"


def test_a_missing_logger_is_refused_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("systems.loggers.find_spec", lambda name: None)
    overrides = (*small_overrides(tmp_path), "trainer.logger=[csv, wandb]")
    with pytest.raises(UserError, match=r"^trainer\.logger\.1: wandb is not installed"):
        make_plan(Request(EXAMPLE, "a ball", overrides, out=tmp_path / "runs"))


def test_an_out_that_is_a_file_is_told_before_anything_is_built(tmp_path: Path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(UserError, match=r"--out: .*/runs is a file; give a folder"):
        make_plan(Request(EXAMPLE, "a ball", out=tmp_path / "runs"))


@pytest.mark.parametrize("setting", ["recipe", "start_from", "run", "out", "folder"])
def test_a_path_that_no_file_can_have(setting: str) -> None:
    with pytest.raises(UserError, match=r"^'a\\x00b': no path has a NUL in it$"):
        Request(**{setting: Path("a\0b")})  # pyright: ignore[reportArgumentType]
