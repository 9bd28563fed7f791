"""What machines lack is told in one line, with what to do."""

from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import MachineError, ProgramError, UserError
from core.failures import machine_told, told


def _raised(work) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - each case raises another one
        work()
    return caught.value


def _write_to_a_full_disk() -> None:
    with open("/dev/full", "w") as file:
        file.write("x" * 100_000)


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (
            lambda: torch.empty(10**14),
            r"_failures\.py:\d+: out of memory \(.* are free\): 363\.8 TiB were asked for\.",
        ),
        (lambda: np.zeros(10**14), r"out of memory .*: 728\. TiB were asked for"),
        (lambda: bytearray(2**60), r"out of memory .*: more were asked for"),
        (lambda: Path("/proc/none/x").mkdir(), r"^/proc/none/x: No such file or directory$"),
        (lambda: Path("/dev/null/x").read_bytes(), r"^/dev/null/x: Not a directory$"),
        (_write_to_a_full_disk, r"No space left on device; free some space, or choose another place with --out$"),
    ],
)
def test_what_this_machine_lacks(work, said: str):
    line = told(_raised(work))
    assert isinstance(line, MachineError)
    assert "\n" not in str(line)
    with pytest.raises(MachineError, match=said):
        raise line


def test_a_full_disk_says_how_much_is_left(tmp_path: Path):
    error = OSError(28, "No space left on device", str(tmp_path / "last.ckpt"))
    assert str(told(error)).startswith(f"{tmp_path}/last.ckpt: No space left on device (")
    assert "iB left); free some space" in str(told(error))


def test_libraries_that_hide_a_full_disk_are_understood():
    text = (
        "[enforce fail at inline_container.cc:668] . PytorchStreamWriter failed writing file data/0: file write failed"
    )
    assert isinstance(told(RuntimeError(text)), MachineError)


def test_a_mistake_of_the_program_names_its_place():
    line = told(_raised(lambda: {}["absent"]))
    assert isinstance(line, ProgramError)
    assert line.exit_code == 1
    assert str(line).startswith("tests/core/test_failures.py:")
    assert "KeyError: 'absent'. This is a fault of the program or of a plugin; --debug shows" in str(line)


def test_an_error_that_speaks_for_itself_stays():
    error = UserError("seed: at least 0, got -1")
    assert told(error) is error


def test_only_what_the_machine_lacks_changes_its_kind():
    with pytest.raises(MachineError), machine_told():
        Path("/proc/none/x").mkdir()
    with pytest.raises(RuntimeError, match="shapes"), machine_told():
        raise RuntimeError("shapes do not fit")
