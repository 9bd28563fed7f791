"""The random numbers of a step, and how a step is divided among processes, the ranks.

Nothing is carried from step to step: every step of every stream has its own generator, made from the run's seed, so a
resumed training draws what the uninterrupted one would have drawn, and neither logging nor validation can disturb it.

Each rank has an equal part of a step's views. It draws what one process would draw for all of them, and takes its own
rows; so the step is the same however many ranks there are, up to the order of sums. Gradients are averaged: right for
means over views or rays, while a mean over samples, of which ranks have different numbers, takes `Rank.weight`.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, distributed

from core.types import Cameras


@dataclass(frozen=True)
class Rank:
    """Which of the processes that train one object this is."""

    number: int = 0
    n_ranks: int = 1

    def own(self, cameras: Cameras) -> Cameras:
        """Those of a step's views that are this rank's: its part of them, in order."""
        n_each = len(cameras) // self.n_ranks
        return cameras[self.number * n_each : (self.number + 1) * n_each]

    def before(self, amount: int) -> int:
        """Sum of `amount` over the ranks before this one. Collective: every rank has to call it."""
        return int(self._amounts(amount)[: self.number].sum()) if self.n_ranks > 1 else 0

    def share_factor(self, amount: int | Tensor) -> float:
        """What turns the average of the ranks' means into the mean over all samples: n_ranks * own amount / total.

        Collective: every rank has to call it.

        Args:
            amount: how many samples this rank's mean is over, or the sum of their weights.
        """
        if self.n_ranks == 1:
            return 1.0
        amounts = self._amounts(amount)
        return float(amounts[self.number] * self.n_ranks / amounts.sum().clamp_min(1e-12))

    def _amounts(self, amount: int | Tensor) -> Float[Tensor, "ranks"]:
        device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        own = torch.as_tensor(amount, dtype=torch.float64, device=device).detach()
        amounts = [torch.zeros_like(own) for _ in range(self.n_ranks)]
        distributed.all_gather(amounts, own)
        return torch.stack(amounts)


#: The one process of most trainings.
ALONE = Rank()


class Stream(Generator):
    """A generator that carries its rank; `uniform`, `normal` and `integers` give that rank's rows alone."""

    rank = ALONE


def stream(seed: int, name: str, step: int, device: torch.device | str = "cpu", rank: Rank = ALONE) -> Stream:
    """The generator of one step of a named stream ("training", "validation"), of which a rank draws its part."""
    digest = hashlib.sha256(f"{seed}/{name}/{step}".encode()).digest()
    made = Stream(device)
    made.manual_seed(int.from_bytes(digest[:4], "little"))
    made.rank = rank
    return made


def rank_of(rng: Generator) -> Rank:
    """Whose draws a generator makes."""
    return rng.rank if isinstance(rng, Stream) else ALONE


def uniform(rng: Generator, *shape: int, dtype: torch.dtype | None = None) -> Float[Tensor, "*shape"]:
    """Numbers from 0 to 1 on the generator's device; the first axis is of this rank's views, objects or rays."""
    return _own_rows(rng, shape[0], lambda n: torch.rand(n, *shape[1:], generator=rng, device=rng.device, dtype=dtype))


def normal(rng: Generator, *shape: int) -> Float[Tensor, "*shape"]:
    """Standard normal numbers; otherwise as `uniform`."""
    return _own_rows(rng, shape[0], lambda n: torch.randn(n, *shape[1:], generator=rng, device=rng.device))


def integers(rng: Generator, below: int, n_rows: int) -> Int[Tensor, "rows"]:
    """Numbers from 0 to `below` - 1; otherwise as `uniform`."""
    return _own_rows(rng, n_rows, lambda n: torch.randint(below, (n,), generator=rng, device=rng.device))


def _own_rows(rng: Generator, n_rows: int, draw: Callable[[int], Tensor]) -> Tensor:
    rank = rank_of(rng)
    return draw(n_rows * rank.n_ranks)[rank.number * n_rows :][:n_rows]
