"""Trainings that wait for their turn: one run at a time is trained on a device."""

import threading
from collections import deque

from app.plan import Plan, Request, make_plan
from core.errors import UserError

#: More trainings than this do not wait.
MOST_WAITING = 20


class Queue:
    """Plans in the order in which they were asked for; any thread may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._plans: deque[Plan] = deque()

    def __len__(self) -> int:
        return len(self._plans)

    def add(self, request: Request) -> None:
        """Check what is asked for, and let it wait.

        Raises:
            UserError: it cannot be trained, or too much is waiting.
        """
        if len(self) >= MOST_WAITING:
            raise UserError(f"{MOST_WAITING} trainings are waiting already; come again when some of them are done")
        plan = make_plan(request)
        with self._lock:
            self._plans.append(plan)

    def next(self) -> Plan | None:
        """The one whose turn it is, taken out; None where nothing waits."""
        with self._lock:
            return self._plans.popleft() if self._plans else None

    def clear(self) -> None:
        """Let nothing wait any more."""
        with self._lock:
            self._plans.clear()

    @property
    def prompts(self) -> list[str]:
        """What they are to make."""
        with self._lock:
            return [plan.recipe.shown_prompt for plan in self._plans]
