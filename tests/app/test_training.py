"""The training loop: device and precision, signals between steps, lines of progress."""

import logging
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer

from app.events import Started
from app.machine import resolve_device, resolve_precision
from app.process import ENDING, Signals, StopOnSignals
from app.progress import Progress
from app.stopping import Interrupted, Stop
from app.training import Ending, StepEvents, fit, make_trainer
from core.errors import UserError
from core.kinds import TrainerConfig
from tests.systems.small_systems import fitting_system


class Slope(LightningModule):
    """One number that slides down."""

    def __init__(self) -> None:
        super().__init__()
        self.height = torch.nn.Parameter(torch.tensor(5.0))

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        self.log("loss", self.height.detach())
        return self.height

    def train_dataloader(self) -> range:
        return range(1000)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class SignalInStep(Callback):
    """Sends this process a signal in the middle of a step."""

    def __init__(self, step: int, number: signal.Signals) -> None:
        self.step, self.number = step, number

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: torch.Tensor) -> None:
        if trainer.global_step == self.step:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU])
def test_a_signal_ends_the_training_after_its_step_and_handlers_come_back(
    tmp_path: Path, number: signal.Signals
) -> None:
    every = (*ENDING, signal.SIGUSR1, signal.SIGALRM)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored, and stays so
    before = {each: signal.getsignal(each) for each in every}
    with Signals() as signals:
        stop, slope = StopOnSignals(signals), Slope()
        trainer = make_trainer(TrainerConfig(max_steps=50), "cpu", tmp_path, [Ending(stop), SignalInStep(3, number)])
        fit(trainer, slope, None, stop)
    assert (signals.received, signals.exit_code) == (number, 128 + number)
    assert trainer.global_step == 4
    assert slope.height.item() == pytest.approx(5.0 - 4 * 0.1)
    assert {each: signal.getsignal(each) for each in every} == before


def test_a_training_that_fails_ends_what_was_begun_beside_it(tmp_path: Path) -> None:
    """Views are drawn ahead in a thread that the program waits for at its end."""

    class Failing(Slope):
        ended = 0

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            raise RuntimeError("in mid-step")

        def on_fit_end(self) -> None:
            self.ended += 1

    slope = Failing()
    with pytest.raises(RuntimeError, match="in mid-step"):
        fit(make_trainer(TrainerConfig(max_steps=3), "cpu", tmp_path, []), slope, None, Stop())
    assert slope.ended == 1


def test_outside_of_a_training_a_signal_interrupts() -> None:
    with pytest.raises(Interrupted), Signals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
    assert signals.exit_code == 143


def test_without_a_signal_all_steps_are_done(tmp_path: Path) -> None:
    stop = Stop()
    trainer = make_trainer(TrainerConfig(max_steps=7), "cpu", tmp_path, [Ending(stop)])
    fit(trainer, Slope(), None, stop)
    assert (trainer.global_step, stop.is_requested) == (7, False)
    assert list(tmp_path.iterdir()) == []  # files are the callbacks' business


def test_progress_says_step_loss_speed_and_time_left_ten_times(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="app.progress"):
        progress = Progress()
        trainer = make_trainer(TrainerConfig(max_steps=20), "cpu", tmp_path, [StepEvents(progress)])
        progress(Started(tmp_path, fitting_system(1), 0, 20))
        fit(trainer, Slope(), None, Stop())
    said = [message for message in caplog.messages if message.startswith("step ")]
    assert len(said) == 10
    shape = re.compile(r"step (\d+)/20, loss (\d+\.\d{4}), \d+\.\d steps/s, \d+:\d\d left")
    found = [shape.fullmatch(message) for message in said]
    assert [int(match[1]) for match in found if match] == list(range(2, 21, 2))
    assert [float(match[2]) for match in found if match] == pytest.approx([5.1 - 0.1 * n for n in range(2, 21, 2)])


def test_gradients_are_clipped_where_the_recipe_says_so(tmp_path: Path) -> None:
    slope = Slope()
    make_trainer(TrainerConfig(max_steps=1, gradient_clip=0.5), "cpu", tmp_path, []).fit(slope)
    assert slope.height.item() == pytest.approx(5.0 - 0.1 * 0.5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_a_clear_fault() -> None:
    assert resolve_device("auto") == resolve_device("cpu") == "cpu"
    with pytest.raises(UserError, match="--device cuda: torch sees no CUDA device here; use --device cpu"):
        resolve_device("cuda")


def test_precision() -> None:
    assert resolve_precision("auto", "cpu") == "32-true"
    assert resolve_precision("auto", "cuda") == "16-mixed"
    assert resolve_precision("bf16-mixed", "cpu") == "bf16-mixed"
    with pytest.raises(UserError, match="'16-mixed' needs a GPU; on a CPU use '32-true' or 'bf16-mixed'"):
        resolve_precision("16-mixed", "cpu")
