"""How much of its time a training gives to those who look at it."""

import time
from collections.abc import Callable

#: What the page promises unless somebody moves its slider.
DEFAULT_SHARE = 0.1
#: A training that never gave anything to viewers owes them no more than this, in seconds.
MOST_SAVED_S = 0.5


class Budget:
    """Spends at most a share of the time that passes: each second of training earns `share` seconds of looking.

    What a picture will cost is not known before it is drawn, so one may be drawn as soon as anything is saved; what it
    cost beyond that is owed, and nothing is drawn until it is earned.
    """

    def __init__(self, share: float = DEFAULT_SHARE, clock: Callable[[], float] = time.monotonic) -> None:
        self.share = share
        self._clock = clock
        self._saved, self._last = 0.0, clock()
        self._spent, self._passed = 0.0, 0.0

    def allows(self) -> bool:
        """Whether something may be drawn now."""
        self._earn()
        return self._saved > 0

    def spend(self, seconds: float) -> None:
        """Something was drawn, or sent, and took so long."""
        self._earn()
        self._saved -= seconds
        self._spent += seconds

    def rest(self) -> None:
        """The training stood still until now: nothing was earned, and what was drawn meanwhile was free."""
        self._last = self._clock()

    @property
    def measured(self) -> float:
        """Share of the last minute or so that looking has cost."""
        return self._spent / self._passed if self._passed else 0.0

    def _earn(self) -> None:
        now = self._clock()
        seconds, self._last = now - self._last, now
        self._saved = min(self._saved + self.share * seconds, MOST_SAVED_S)
        self._passed += seconds
        if self._passed > 60.0:  # older minutes fade
            self._spent, self._passed = self._spent / 2, self._passed / 2
