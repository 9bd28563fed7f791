"""Steps that are not finite change nothing and are counted; three in a row end the training."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer

from core.errors import DivergedError
from systems.finite_steps import FiniteSteps
from tests.systems.small_systems import ball_pictures, fitting_system, quiet_trainer


def poisoned(kind: str, steps: set[int], total_steps: int = 8) -> Any:
    """A system whose loss or gradient is not finite at some steps."""
    system = fitting_system(total_steps)
    forward = type(system).compute_loss

    def compute_loss(step: int, rng: torch.Generator) -> Any:
        loss, numbers = forward(system, step, rng)
        if step in steps and kind == "gradient":
            loss.register_hook(lambda gradient: gradient * torch.nan)
        elif step in steps:
            loss = loss + (torch.inf if kind == "infinite loss" else torch.nan)
        return loss, numbers

    system.compute_loss = compute_loss  # pyright: ignore[reportAttributeAccessIssue]
    return system


class Weights(Callback):
    """Copies of the parameters after each step."""

    def __init__(self) -> None:
        self.after: list[torch.Tensor] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        self.after.append(torch.cat([each.detach().flatten() for each in pl_module.parameters()]))


@pytest.mark.fault(
    "a loss or gradient that is not finite, once", "the step is skipped and counted; the training goes on"
)
@pytest.mark.parametrize("kind", ["loss", "infinite loss", "gradient"])
def test_a_step_is_skipped(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    finite, weights = FiniteSteps(), Weights()
    system = poisoned(kind, {2, 3, 5})
    with caplog.at_level(logging.WARNING):
        trainer = quiet_trainer(8, [finite, weights])
        trainer.fit(system)
    assert (trainer.global_step, finite.n_skipped) == (8, 3)
    assert "step 5 is skipped: its loss or gradient is not finite (3 so far)" in caplog.text
    unchanged = [i for i in range(1, 8) if torch.equal(weights.after[i], weights.after[i - 1])]
    assert unchanged == [2, 3, 5]
    assert all(each.isfinite().all() for each in weights.after)
    states = trainer.optimizers[0].state.values()
    assert {int(state["step"]) for state in states} == {5}, "Adam has made no step either"
    assert all(state["exp_avg_sq"].isfinite().all() for state in states)


@pytest.mark.fault(
    "a loss or gradient that is not finite, three times in a row", "the training gives up, weights unharmed"
)
@pytest.mark.parametrize("kind", ["loss", "infinite loss", "gradient"])
def test_three_in_a_row_end_the_training(kind: str) -> None:
    finite, weights = FiniteSteps(), Weights()
    system = poisoned(kind, {2, 3, 4})
    with pytest.raises(DivergedError, match="step 4: the loss or its gradient is not finite, 3 times in a row"):
        quiet_trainer(8, [finite, weights]).fit(system)
    assert all(each.isfinite().all() for each in system.state_dict().values())
    assert torch.equal(weights.after[-1], weights.after[1])


def test_after_a_return_the_steps_draw_other_numbers(tmp_path: Path) -> None:
    ends: list[torch.Tensor] = []
    for n_returns in (0, 0, 1):
        finite, weights = FiniteSteps(), Weights()
        for _ in range(n_returns):
            finite.go_back()
        system = fitting_system(3)
        system.guidance.set_target(ball_pictures)  # pyright: ignore[reportCallIssue]
        quiet_trainer(3, [finite, weights]).fit(system)
        ends.append(weights.after[-1])
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_a_checkpoint_keeps_the_counts_and_a_return_is_not_forgotten() -> None:
    finite, kept = FiniteSteps(), FiniteSteps()
    kept.go_back()
    kept.n_skipped = 5
    finite.load_state_dict(kept.state_dict())
    finite.go_back()
    finite.load_state_dict(kept.state_dict())
    assert (finite.n_skipped, finite.n_returns) == (5, 2)
    assert finite.has_gone_back
