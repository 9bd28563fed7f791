"""Files of tests that are looked at afterwards: by .ci/run, which validates GLBs, and by people, who like pictures."""

import shutil
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "runs" / "artefacts"


def keep(path: Path, name: str) -> Path:
    """Copy a file there, under a name of its own."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(path, FOLDER / name))
