"""What a command prints: results and failures, none of it with control characters, which a terminal obeys.

Prompts, recipes, file names and what libraries quote of a file's content may hold some: they could move the cursor,
hide a line, or make the terminal answer.
"""

import sys
import traceback

from core.errors import PluginError, printable
from core.failures import told


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
