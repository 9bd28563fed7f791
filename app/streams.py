"""stdout and stderr that may go away: what nobody reads any more must not end a training."""

import contextlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def lasting_streams() -> Iterator[None]:
    """Within this block, a closed pipe, a full disk or a lost terminal behind stdout or stderr is as good as none."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # else the first file that is opened takes the number, and gets what libraries print
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # or children, the workers of jobs, have none
    before = sys.stdout, sys.stderr
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        sys.stdout, sys.stderr = (_Lasting(stream or nowhere) for stream in before)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            sys.stdout, sys.stderr = before


class _Lasting:
    """A text stream whose failures to write are not told; from the first one on, it leads nowhere."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, if there still is a reader."""
        try:
            return self._stream.write(text)
        except UnicodeEncodeError:  # a ValueError too, but there is a reader: it gets \u2603
            encoding = self._stream.encoding
            return self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        except (OSError, ValueError):
            self._lead_nowhere()
            return len(text)

    def flush(self) -> None:
        """Write what is held back, if there still is a reader."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._lead_nowhere()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _lead_nowhere(self) -> None:
        """What is still in its buffer is written at the process's end, which would change the exit code."""
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
