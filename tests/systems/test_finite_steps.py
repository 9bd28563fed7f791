"""Steps that are not finite change nothing and are counted; three in a row end the training."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.plugins import MixedPrecision

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


class Steep(LightningModule):
    """One number on a slope so steep that its scaled gradient overflows, until the scale has come down."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope, self.height = slope, torch.nn.Parameter(torch.tensor(1.0))

    def training_step(self, batch: Any, batch_idx: int) -> dict[str, Any]:
        return {"loss": (self.height - self.height.detach()) * self.slope, "numbers": {}}

    def train_dataloader(self) -> range:
        return range(1000)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1 / self.slope)


def test_overflows_of_a_scaled_gradient_are_left_to_the_scaler() -> None:
    """2^16 x 1e35 is beyond float32, 2^11 x 1e35 is not: five halvings, none of them counted."""
    finite, steep = FiniteSteps(), Steep(1e35)
    precision = MixedPrecision("16-mixed", "cpu")
    quiet_trainer(7, [finite], plugins=[precision], precision=None).fit(steep)
    assert finite.n_skipped == 0
    assert precision.scaler is not None
    assert precision.scaler.get_scale() == 2**11
    assert steep.height.item() == pytest.approx(1.0 - 2 * 0.1)


def test_a_gradient_that_no_scale_makes_finite_ends_the_training() -> None:
    finite, steep = FiniteSteps(), Steep(1.0)
    steep.height.register_hook(lambda gradient: gradient * torch.nan)
    precision = MixedPrecision("16-mixed", "cpu")
    with pytest.raises(DivergedError, match="step 18: the loss or its gradient is not finite, 3 times in a row"):
        quiet_trainer(40, [finite], plugins=[precision], precision=None).fit(steep)
    assert steep.height.item() == 1.0


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
