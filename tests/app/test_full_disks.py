"""Disks that are full or small, and temporary folders that are: checkpoints need neither luck nor TMPDIR."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from systems.checkpoint_files import newest_whole
from tests.app.children import Child, only_run, train
from tests.app.test_killed_training import leftovers

#: A field of 4 MB: a checkpoint with Adam's moments takes 13 MB, and there are three for a moment.
LARGE = ["system.geometry.log2_table_size=18", "system.geometry.finest_resolution=256"]


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own; the test is skipped where none may be mounted."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.fault(
    "a disk of 1, 5 or 20 MB",
    "enough room or one line with the bytes and exit code 3; a checkpoint that is there is whole",
)
@pytest.mark.parametrize("size", ["1m", "5m", "20m"])
def test_a_small_disk(tmp_path: Path, size: str) -> None:
    with small_disk(tmp_path / "disk", size) as disk:
        out = disk / "runs"
        child = Child(train(out, *LARGE, "trainer.max_steps=4"), tmp_path / "said.txt")
        assert child.wait() == 3, child.said
        last = child.said.splitlines()[-1]
        assert last.startswith("error: ")
        assert " MB" in last or " MiB" in last
        assert "Traceback" not in child.said
        if out.exists():
            assert leftovers(only_run(out)) == []
            assert newest_whole(only_run(out)) is not None


@pytest.mark.fault("a full TMPDIR", "checkpoints are written all the same: they never go through it")
def test_a_full_temporary_folder(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "64k") as disk:
        child = Child(train(tmp_path / "runs", "trainer.max_steps=3"), tmp_path / "said.txt", {"TMPDIR": str(disk)})
        assert child.wait() == 0, child.said
        assert list(disk.iterdir()) == []
        assert newest_whole(only_run(tmp_path / "runs")) is not None


@pytest.mark.fault(
    "previews, log and checkpoints removed under the training", "it goes on, and ends with 0 and a checkpoint"
)
def test_what_is_removed_under_a_training(tmp_path: Path) -> None:
    out = tmp_path / "runs"
    words = train(out, "trainer.max_steps=30", "trainer.preview_every=5", "trainer.checkpoint_every=5")
    child = Child(words, tmp_path / "said.txt", {"STEP_SECONDS": "0.1"})
    child.until(lambda: list(out.glob("*/previews/*")) and list(out.glob("*/metrics.csv")))
    for name in ("metrics.csv", "previews", "checkpoints"):
        os.rename(only_run(out) / name, tmp_path / name)
    assert child.wait() == 0, child.said
    assert newest_whole(only_run(out)) is not None
    assert (only_run(out) / "metrics.csv").exists()
