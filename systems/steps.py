"""What Lightning counts as data, where there is none."""

from collections.abc import Iterator
from typing import Any


class Steps:
    """Counts from 0; Lightning's idea of data. It has a state, so that resuming in the middle is nothing special."""

    def __init__(self, n_steps: int) -> None:
        self.n_steps = n_steps

    def __len__(self) -> int:
        return self.n_steps

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.n_steps))

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the step is Lightning's own."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing to restore."""
