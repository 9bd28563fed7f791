"""How much of its time a training gives to those who look at it."""

import time
from collections.abc import Callable

#: What the page promises unless somebody moves its slider.
DEFAULT_SHARE = 0.1
#: A training that never gave anything to viewers owes them no more than this, in seconds.
MOST_SAVED_S = 0.5


class Budget:
    """Spends at most a share of the time that passes: each second of training earns `share` seconds of looking.

    A picture is drawn when what the last ones took has been saved for it; what it takes beyond that is owed.
    """

    def __init__(self, share: float = DEFAULT_SHARE, clock: Callable[[], float] = time.monotonic) -> None:
        self.share = share
        self._clock = clock
        self._saved, self._last, self._usual = 0.0, clock(), 0.0
        self._spent, self._passed = 0.0, 0.0

    def allows(self) -> bool:
        """Whether something may be drawn now."""
        self._earn()
        return self._saved > self._usual

    def draw(self, seconds: float) -> None:
        """A picture was drawn, and took so long."""
        self._usual = seconds if not self._usual else 0.7 * self._usual + 0.3 * seconds
        self.spend(seconds)

    def spend(self, seconds: float) -> None:
        """So much was taken from the training."""
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
        self._saved = min(self._saved + self.share * seconds, max(MOST_SAVED_S, 2 * self._usual))
        self._passed += seconds
        if self._passed > 60.0:  # older minutes fade
            self._spent, self._passed = self._spent / 2, self._passed / 2
