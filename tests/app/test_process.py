"""Nobody has to listen: stdout and stderr that are closed, full or gone; and threads that wait sleep."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.process import SAID_BY_USERS, lasting_streams, wait_passively
from tests.app.children import RECIPE

ROOT = Path(__file__).parents[2]


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError

    def flush(self) -> None:
        raise OSError(28, "No space left on device")


def test_what_cannot_be_written_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, Broken())
    with lasting_streams():
        print("to nobody")
        print("to nobody", file=sys.stderr, flush=True)
    monkeypatch.setattr(sys, "stdout", None)
    with lasting_streams():
        print("to nobody")
    assert sys.stdout is None


def test_a_reader_of_another_encoding_is_a_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(heard, encoding="ascii"))
    with lasting_streams():
        print("a \u2603")
        print("and more")
    assert heard.getvalue() == b"a \\u2603\nand more\n"


def test_what_can_be_written_is(capsys: pytest.CaptureFixture[str]) -> None:
    with lasting_streams():
        print("heard")
    assert capsys.readouterr().out == "heard\n"


def test_children_have_streams_where_the_program_was_given_none() -> None:
    child = "import sys; sys.exit(3 if None in (sys.stdin, sys.stdout, sys.stderr) else 0)"
    code = (
        "import subprocess, sys\nfrom app.process import SAID_BY_USERS, lasting_streams, wait_passively\n"
        f"with lasting_streams():\n    sys.exit(subprocess.run([sys.executable, '-c', {child!r}]).returncode)"
    )
    script = f'exec "{sys.executable}" -c "$0" <&- >&- 2>&-'
    assert subprocess.run(["bash", "-c", script, code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.fault(
    "stdout and stderr are a pipe whose reader has gone, /dev/full, or closed",
    "the training and its exports end with 0",
)
@pytest.mark.parametrize("ends", ["| head -c 10 >/dev/null", ">/dev/full 2>/dev/full", ">&- 2>&-"])
def test_a_whole_command_that_nobody_hears(tmp_path: Path, ends: str) -> None:
    command = f"{sys.executable} launch.py --config {RECIPE} --out {tmp_path}/runs --device cpu trainer.max_steps=12"
    exporters = "'exporters=[{type: contact-sheet}]'"
    script = f"set -o pipefail; {command} {exporters} {'2>&1 ' if '|' in ends else ''}{ends}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    assert subprocess.run(["bash", "-c", script], cwd=ROOT, env=environment, check=False).returncode == 0
    (run,) = (tmp_path / "runs").iterdir()
    assert (run / "contact_sheet.png").stat().st_size > 0


@pytest.fixture
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in SAID_BY_USERS:
        monkeypatch.setenv(name, "-")  # so that whatever is set in the test is taken back after it
        monkeypatch.delenv(name)
    return monkeypatch


def test_threads_sleep_unless_the_user_says_otherwise(nothing_said: pytest.MonkeyPatch):
    wait_passively()
    assert os.environ["OMP_WAIT_POLICY"] == "passive"


@pytest.mark.parametrize(("name", "value"), [("OMP_WAIT_POLICY", "active"), ("GOMP_SPINCOUNT", "7")])
def test_what_the_user_has_said_stays(name: str, value: str, nothing_said: pytest.MonkeyPatch):
    nothing_said.setenv(name, value)
    wait_passively()
    assert {said: os.environ.get(said) for said in SAID_BY_USERS if said in os.environ} == {name: value}


def test_the_command_line_says_it_before_torch_can_read_it():
    kept = {name: value for name, value in os.environ.items() if name not in SAID_BY_USERS}
    probe = "import launch, os, sys; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, env=kept, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["passive", "False"]
