"""What visitors ask of a training, and what it has done of it: between the page's threads and the training's own."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.stopping import Stop
from core.failures import told

log = logging.getLogger(__name__)

#: A question to the training's thread: is called there, between two steps.
Task = Callable[[], None]
#: More tasks than this that nobody has come to yet are refused.
MOST_TASKS = 256


class Controls:
    """Pause, go on, one step, stop; and tasks that are done between two steps.

    Any thread may ask. `turn` is called in the training's thread after each step, and returns when the next may begin.
    """

    def __init__(self, is_paused: bool = False) -> None:
        self._changed = threading.Condition()
        self._is_paused, self._steps_to_go = is_paused, 0
        self._tasks: deque[Task] = deque()
        self.stop: Stop | None = None

    @property
    def is_paused(self) -> bool:
        """Whether the training stands still, or will after the step that it is in."""
        return self._is_paused

    def pause(self) -> None:
        """Stand still after the step that the training is in."""
        self._set(is_paused=True, steps_to_go=0)

    def go_on(self) -> None:
        """Train again, until something else is asked."""
        self._set(is_paused=False, steps_to_go=0)

    def one_step(self) -> None:
        """Make one step, and stand still again."""
        self._set(is_paused=True, steps_to_go=self._steps_to_go + 1)

    def end(self) -> None:
        """End the training with a checkpoint, paused or not."""
        with self._changed:
            if self.stop is not None:
                self.stop.request()
            self._changed.notify_all()

    def ask(self, task: Task) -> bool:
        """Have something done between two steps, in the training's thread; False where too much is waiting."""
        with self._changed:
            if len(self._tasks) >= MOST_TASKS:
                return False
            self._tasks.append(task)
            self._changed.notify_all()
            return True

    def wake(self) -> None:
        """Something has changed that a paused training should look at."""
        with self._changed:
            self._changed.notify_all()

    def turn(self, look: Callable[[bool], None]) -> bool:
        """Do what was asked, and wait while the training is paused.

        Args:
            look: draws for the visitors; takes whether the training is waiting, so that it costs nothing.

        Returns:
            Whether it has waited.
        """
        self.do_tasks()
        look(False)
        if not self._is_paused:
            return False
        while self._is_paused and not self._takes_a_step() and not (self.stop and self.stop.is_requested):
            self.idle(look)
        return True

    def idle(self, look: Callable[[bool], None], seconds: float = 0.1) -> None:
        """One round of waiting: do what was asked, draw, and sleep until something happens."""
        self.do_tasks()
        look(True)
        with self._changed:
            if not self._tasks and not self._steps_to_go:
                self._changed.wait(seconds)

    def do_tasks(self) -> None:
        """Do all that was asked."""
        while self._tasks:
            with held_off():
                self._tasks.popleft()()

    def _takes_a_step(self) -> bool:
        with self._changed:
            if not self._steps_to_go:
                return False
            self._steps_to_go -= 1
            return True

    def _set(self, is_paused: bool, steps_to_go: int) -> None:
        with self._changed:
            self._is_paused, self._steps_to_go = is_paused, steps_to_go
            self._changed.notify_all()


@contextmanager
def held_off() -> Iterator[None]:
    """What fails while something is done for visitors is logged, and ends no training."""
    try:
        yield
    except Exception as error:
        log.warning("not done for a visitor of the page: %s", told(error))


class Speed:
    """Steps a second over the last half minute or so; standing still does not count."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._marks: deque[tuple[float, int]] = deque(maxlen=512)
        self._still = 0.0

    def mark(self, step: int) -> None:
        """A step is done: remember when, ten times a second at most."""
        now = self._clock() - self._still
        if not self._marks or now - self._marks[-1][0] >= 0.1:
            self._marks.append((now, step))
        while len(self._marks) > 2 and now - self._marks[0][0] > 30:
            self._marks.popleft()

    def stood_still(self, seconds: float) -> None:
        """The training has waited."""
        self._still += seconds

    @property
    def per_second(self) -> float:
        """Steps a second; 0 before the second mark."""
        if len(self._marks) < 2:
            return 0.0
        (began, first), (ended, last) = self._marks[0], self._marks[-1]
        return (last - first) / max(ended - began, 1e-9)

    def seconds_left(self, step: int, total_steps: int) -> float | None:
        """Until the last step, as fast as now; None where that is not known."""
        return (total_steps - step) / self.per_second if self.per_second else None
