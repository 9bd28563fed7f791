"""How much of its time a training gives to those who look at it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: What the page promises unless somebody moves its slider.
DEFAULT_SHARE = 0.1
#: A training that never gave anything to viewers owes them no more than this, or two pictures, in seconds.
MOST_SAVED_S = 0.1
#: What visitors send is read again when they owe the training less than this, in seconds.
MOST_OWED_S = 0.25


class Budget:
    """Spends at most a share of the time that passes: each second of training earns `share` seconds of looking.

    A picture is drawn when what the last ones took has been saved for it; what it takes beyond that is owed.
    """

    def __init__(self, share: float = DEFAULT_SHARE, clock: Callable[[], float] = time.monotonic) -> None:
        self.share = share
        self.clock = clock
        self._saved, self._last, self._usual = 0.0, clock(), 0.0
        self._spent, self._passed = 0.0, 0.0

    def allows(self) -> bool:
        """Whether something may be drawn now."""
        self._earn()
        return self._saved > self._usual

    def owes(self) -> bool:
        """Whether so much was taken that visitors have to wait; may be asked from any thread."""
        return self._saved + self.share * (self.clock() - self._last) < -MOST_OWED_S

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
        self._last, self._saved = self.clock(), max(self._saved, 0.0)

    @property
    def measured(self) -> float:
        """Share of the last minute or so that looking has cost."""
        return self._spent / self._passed if self._passed else 0.0

    def _earn(self) -> None:
        now = self.clock()
        seconds, self._last = now - self._last, now
        self._saved = min(self._saved + self.share * seconds, max(MOST_SAVED_S, 2 * self._usual))
        self._passed += seconds
        if self._passed > 60.0:  # older minutes fade
            self._spent, self._passed = self._spent / 2, self._passed / 2


class Promise:
    """Two budgets, wall-clock and processor time, for work done for visitors; drawing needs both.

    The two differ where other programs work on the same processors: a second on the wall then holds less of the
    training, and what the server's thread takes, which is known in the processor's seconds, takes a larger share of it.
    """

    def __init__(
        self, wall: Callable[[], float] = time.monotonic, processor: Callable[[], float] = time.process_time
    ) -> None:
        self._budgets = (Budget(clock=wall), Budget(clock=processor))

    @property
    def share(self) -> float:
        """Share of the time that visitors may take, the same for both; 0.1 is a tenth."""
        return self._budgets[0].share

    @share.setter
    def share(self, share: float) -> None:
        for budget in self._budgets:
            budget.share = share

    @property
    def measured(self) -> float:
        """The larger share of the last minute or so that looking has cost."""
        return max(budget.measured for budget in self._budgets)

    def allows(self) -> bool:
        """Whether something may be drawn now."""
        wall, processor = (budget.allows() for budget in self._budgets)
        return wall and processor

    def owes(self) -> bool:
        """Whether visitors have to wait; may be asked from any thread."""
        return any(budget.owes() for budget in self._budgets)

    def spend(self, seconds: float) -> None:
        """So many of the processor's seconds were taken from the training."""
        for budget in self._budgets:
            budget.spend(seconds)

    @contextmanager
    def spending(self, is_picture: bool = False) -> Iterator[None]:
        """What is done in this block is taken from the training, in the clock of each."""
        begun = [budget.clock() for budget in self._budgets]
        try:
            yield
        finally:
            for budget, at in zip(self._budgets, begun, strict=True):
                spend = budget.draw if is_picture else budget.spend
                spend(budget.clock() - at)

    def rest(self) -> None:
        """The training stood still until now."""
        for budget in self._budgets:
            budget.rest()
