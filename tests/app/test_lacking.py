"""What a machine may lack: memory, file sizes, a home. Real processes under real limits."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.app.children import RECIPE, Child
from tests.app.small_command import ROOT


def command(folder: Path, *overrides: str) -> list[str]:
    return ["--config", str(RECIPE), "--out", str(folder / "runs"), "trainer.logger=[]", *overrides]


def last_line(child: Child) -> str:
    assert "Traceback" not in child.said
    return child.said.strip().splitlines()[-1]


@pytest.mark.fault("a step that asks for memory that there is not", "one line with how much, exit code 3")
def test_a_step_that_does_not_fit(tmp_path: Path) -> None:
    child = Child(command(tmp_path), tmp_path / "said", environment={"FAULT": "memory:2"})
    assert child.wait() == 3, child.said
    assert ": out of memory (" in last_line(child)
    assert "363.8 TiB were asked for. Try fewer views" in last_line(child)


#: A step that keeps some 1.4 GiB for its gradient.
LARGE = [
    "system.geometry.hidden_width=1024",
    "system.renderer={type: volume, samples_per_ray: 48, rays_per_chunk: 1024}",
    "system.views={type: orbit, n_views: 128}",
    "trainer.max_steps=2",
]


@pytest.mark.fault("a step that takes more memory than is left", "it is tried once more in smaller chunks, and goes on")
def test_a_step_that_fits_in_smaller_chunks(tmp_path: Path) -> None:
    child = Child(command(tmp_path, *LARGE), tmp_path / "said", environment={"FAULT": "tight:900"})
    assert child.wait() == 0, child.said
    line = "out of memory; trying once more in smaller chunks, and so from here on, which takes longer"
    assert child.said.count(line) == 1
    assert "step 2/2" in child.said


@pytest.mark.fault("a limit of 6 GiB of memory, and a size that could never fit", "refused while the recipe is read")
def test_a_size_that_could_never_fit(tmp_path: Path) -> None:
    samples = "system.renderer.samples_per_ray=200000"
    child = Child(command(tmp_path, samples), tmp_path / "said", limits={resource.RLIMIT_AS: 6 * 2**30})
    assert child.wait() == 2, child.said
    assert last_line(child).endswith("would take 12.21 GiB of memory, and this machine has 6 GiB; give less")
    assert not (tmp_path / "runs").exists()


@pytest.mark.fault("a limit on the size of files", "one line that names the file, exit code 3")
def test_files_that_may_not_grow(tmp_path: Path) -> None:
    child = Child(command(tmp_path), tmp_path / "said", limits={resource.RLIMIT_FSIZE: 20_000})
    assert child.wait() == 3, child.said
    assert str(tmp_path / "runs") in last_line(child)


CACHES = ("XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "HF_HOME", "TORCH_HOME", "NUMBA_CACHE_DIR")


@pytest.mark.fault(
    "no home, caches and lists that cannot be written, a Python without assertions and docstrings",
    "the training is as otherwise",
)
def test_no_home(tmp_path: Path) -> None:
    """From the first import on, which is where libraries look for their folders."""
    nowhere: dict[str, str] = dict.fromkeys(("HOME", *CACHES), "/proc/none")
    words = [sys.executable, "launch.py", *command(tmp_path, "trainer.max_steps=2"), "--device", "cpu"]
    environment = {**os.environ, **nowhere, "PYTHONOPTIMIZE": "2"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.glob("runs/*/checkpoints/step-000002/weights.safetensors"))
