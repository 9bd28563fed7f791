"""One operation, several implementations: a table in order of preference, one entry chosen once and logged.

The torch implementation is the definition and the last row; each other row has a test of its values and gradients
against it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from core.errors import UserError, did_you_mean

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Backend(Generic[T]):
    """One implementation of an operation."""

    name: str
    load: Callable[[], T]
    """Imports what it needs and gives the implementation."""
    missing: Callable[[], str | None]
    """Why it cannot run here ("tinycudann is not installed"), or None where it can."""


@dataclass(frozen=True)
class Backends(Generic[T]):
    """The implementations of one operation, the preferred one first."""

    operation: str
    table: tuple[Backend[T], ...]

    def choose(self, wanted: str = "auto") -> T:
        """The wanted implementation, or with "auto" the first that can run here.

        Raises:
            UserError: no such backend, or the named one cannot run here: it never falls back to another.
        """
        by_name = {backend.name: backend for backend in self.table}
        if wanted != "auto" and wanted not in by_name:
            raise UserError(f"{self.operation}: no backend '{wanted}'. {did_you_mean(wanted, [*by_name, 'auto'])}")
        reasons: list[str] = []
        for backend in self.table if wanted == "auto" else (by_name[wanted],):
            reason = backend.missing()
            if reason is None:
                log.info("%s: backend '%s'", self.operation, backend.name)
                return backend.load()
            reasons.append(f"'{backend.name}' cannot run here: {reason}")
        raise UserError(f"{self.operation}: {'; '.join(reasons)}. Use 'auto' for one that can.")
