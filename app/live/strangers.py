"""What strangers send and what they are told: input has limits, and no path of this machine is shown."""

import os
import re
import tempfile
from pathlib import Path
from typing import Any

import yaml

from core.errors import UserError

ROOT = Path(__file__).parents[2]
#: A folder's name in a path, with the slash behind it: spaces may be in it, but no end of a sentence or its part.
_FOLDER = r"(?:(?:[^/'\"\s]|(?<![,:;.)])[ ])*[^/'\"\s]/)"


def without_paths(text: str, runs: Path) -> str:
    """A text whose absolute paths are cut down to their last names.

    Args:
        runs: the folder of the runs. It and other folders that are known are found whatever their names hold.
    """
    known = {str(path) for folder in _known_folders(runs) for path in (folder.absolute(), folder.resolve())} - {"/"}
    begins = "|".join(re.escape(path) for path in sorted(known, key=len, reverse=True))
    return re.sub(rf"(?<![\w.])(?:(?:{begins})/{_FOLDER}*|/{_FOLDER}+)", "", text)


def _known_folders(runs: Path) -> list[Path]:
    return [runs, ROOT, Path(os.path.expanduser("~")), Path.cwd(), Path(tempfile.gettempdir())]


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a file lies in a folder, after all `..` and links on the way are followed."""
    return path.resolve().is_relative_to(folder.resolve())


def leads_out(run: Path) -> bool:
    """Whether a run's folder, or a file in it, is a link to somewhere else."""
    return run.is_symlink() or any(not is_inside(path, run) for path in run.rglob("*"))


def plain_markdown(text: str) -> str:
    """A text of which Markdown and HTML make nothing but itself."""
    return "".join(f"&#{ord(sign)};" if sign in "<>&*_`[]()#|~\\!$:{}\n" else sign for sign in text)


def plain_value(name: str, text: str) -> Any:
    """A number, a list or a schedule that a browser has sent as YAML.

    Raises:
        UserError: it is none. Anchors are refused: a few of them stand for more values than any memory holds.
    """
    try:
        if not set("&*") & set(text):
            return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError):
        pass
    raise UserError(f"{name}: neither a number, a list nor a schedule such as {{start: 1, end: 0}}")


def raw_text(name: str, value: object, longest: int) -> str:
    """A text from a browser, as it stands.

    Raises:
        UserError: it is none, too long, or not to be written as UTF-8.
    """
    if not isinstance(value, str) or len(value) > longest:
        raise UserError(f"{name}: a text of at most {longest} characters is expected")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(f"{name}: the text is not valid UTF-8") from error
    return value.replace("\0", "")
