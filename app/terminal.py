"""Everything that reaches the terminal: results, messages, warnings and failures, none of it with control characters.

Prompts, recipes, file names and what libraries quote of a file's content may hold some: they could move the cursor,
hide a line, or make the terminal answer.
"""

import logging
import sys
import traceback
import warnings
from typing import Any

from core.errors import PluginError, printable
from core.failures import told

OURS = ("app", "core", "geometry", "guidance", "renderers", "systems", "exporters")


def say(text: str, on_stderr: bool = False) -> None:
    """Print a line, or several: results on stdout, what is said beside them on stderr."""
    stream = sys.stderr if on_stderr else sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"  # a terminal of another one gets \u2603, no exception
    print(printable(text).encode(encoding, "backslashreplace").decode(encoding), file=stream)


def show_failure(error: BaseException, debug: bool) -> int:
    """Say in one line for each fault what has happened, and give the exit code for it.

    Args:
        debug: whether to show the traceback before.
    """
    line = told(error)
    if debug:
        say("".join(traceback.format_exception(error)).rstrip(), on_stderr=True)
    elif isinstance(error, PluginError):
        say("".join(traceback.format_exception(error.__cause__)).rstrip(), on_stderr=True)
    for fault in str(line).split("\n"):
        say(f"error: {fault}", on_stderr=True)
    return line.exit_code


def set_up_messages() -> None:
    """Let log messages and warnings go to stderr, a line each: of our packages all, of others warnings."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Printable("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    for name in OURS:
        logging.getLogger(name).setLevel(logging.INFO)
    warnings.showwarning = _show_warning


class _Printable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def _show_warning(message: Warning | str, category: type[Warning], *_: Any) -> None:
    say(f"{category.__name__}: {' '.join(str(message).split())}", on_stderr=True)
