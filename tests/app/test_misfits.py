"""A torchvision that does not fit is left aside, and told."""

import os
import subprocess
import sys
from pathlib import Path

from tests.app.small_command import ROOT, ball_command

BROKEN = 'raise RuntimeError("operator torchvision::nms does not exist")\n'


def plant(folder: Path, content: str) -> Path:
    """A torchvision as pip leaves it, its version written down."""
    (folder / "torchvision").mkdir(parents=True)
    (folder / "torchvision" / "__init__.py").write_text(content)
    (folder / "torchvision-0.20.0.dist-info").mkdir()
    (folder / "torchvision-0.20.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: torchvision\nVersion: 0.20.0\n"
    )
    return folder


def with_torchvision(folder: Path, content: str, words: list[str]) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(plant(folder, content))}
    return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, env=env, check=False)


def test_a_broken_one_is_masked_and_the_dry_run_passes(tmp_path: Path):
    words = ["launch.py", *ball_command(tmp_path), "--prompt", "a ball", "--dry-run"]
    done = with_torchvision(tmp_path / "tv", BROKEN, words)
    assert done.returncode == 0, done.stderr
    assert "Everything fits" in done.stdout
    line = (
        "UserWarning: torchvision does not fit this torch and is left aside (operator torchvision::nms does not exist)"
    )
    assert done.stderr.splitlines().count(line) == 1


def test_one_that_can_be_imported_is_left_alone(tmp_path: Path):
    probe = "from app.misfits import hide_misfits; hide_misfits(); import torchvision; print(torchvision.mark)"
    done = with_torchvision(tmp_path / "tv", "mark = 7\n", ["-c", probe])
    assert done.stdout == "7\n"
    assert done.stderr == ""
