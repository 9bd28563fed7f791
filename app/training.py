"""The training loop: a Lightning Trainer, the device and precision it runs with, and how a signal ends it."""

import logging
import signal
import threading
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import disable_possible_user_warnings
from tqdm import tqdm

from core.errors import UserError
from core.recipe import TrainerConfig

Device = Literal["cpu", "cuda"]

log = logging.getLogger(__name__)


def settle_device(wanted: str) -> Device:
    """The device of this process: a GPU with `auto` where there is one.

    Raises:
        UserError: `cuda` was asked for and cannot be had.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "--device cuda: torch sees no CUDA device here; use --device cpu, or install a CUDA build of torch"
        )
    return "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"


def settle_precision(wanted: str, device: Device) -> Any:
    """Lightning's name of the precision; `auto` is mixed half precision on a GPU, single precision on a CPU.

    Raises:
        UserError: float16 on a CPU, where gradients cannot be scaled.
    """
    if wanted == "auto":
        return "16-mixed" if device == "cuda" else "32-true"
    if wanted == "16-mixed" and device == "cpu":
        raise UserError("trainer.precision: '16-mixed' needs a GPU; on a CPU use '32-true' or 'bf16-mixed'")
    return wanted


def make_trainer(config: TrainerConfig, device: Device, folder: Path, callbacks: Sequence[Callback]) -> Trainer:
    """A Trainer that does what the recipe says and nothing by itself: files and words come from callbacks."""
    disable_possible_user_warnings()  # hints on data loading and logging, which text-to-3D has none of
    # Lightning 2.6 calls what torch 2.13 deprecates; nothing that a user could mend.
    warnings.filterwarnings("ignore", message=".isinstance.treespec, LeafSpec")
    # The first steps of mixed precision may be skipped, while gradients still overflow; the schedule need not wait.
    warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    return Trainer(
        accelerator="gpu" if device == "cuda" else "cpu",
        devices=1,
        precision=settle_precision(config.precision, device),
        max_steps=config.max_steps,
        max_epochs=-1,
        gradient_clip_val=config.gradient_clip,
        callbacks=list(callbacks),
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


class Progress(Callback):
    """A bar with time left, steps per second and loss; where stderr is no terminal, a line for each tenth."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._start = (0.0, 0)
        self._next_line = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin at the step that a resumed training begins with."""
        total, done = trainer.max_steps, trainer.global_step
        self._bar = tqdm(total=total, initial=done, unit="step", dynamic_ncols=True, disable=None, desc="training")
        self._start = (time.monotonic(), done)
        self._next_line = done + max(1, total // 10)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """One step further."""
        if self._bar is None:
            return
        loss = float(outputs["loss"])
        if not self._bar.disable:
            self._bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)
            self._bar.update(trainer.global_step - self._bar.n)
        elif trainer.global_step >= self._next_line:
            self._next_line += max(1, trainer.max_steps // 10)
            log.info("%s", self._line(trainer.global_step, trainer.max_steps, loss))

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the finished bar on the screen."""
        if self._bar is not None:
            self._bar.close()

    def _line(self, step: int, total: int, loss: float) -> str:
        seconds, begun_at = time.monotonic() - self._start[0], self._start[1]
        rate = (step - begun_at) / max(seconds, 1e-9)
        left = round((total - step) / max(rate, 1e-9))
        return f"step {step}/{total}, loss {loss:.4f}, {rate:.1f} steps/s, {left // 60}:{left % 60:02d} left"


class StopOnSignal(Callback):
    """Ctrl-C and termination signals end the training after the current step; a second one ends it at once.

    A context around `fit`, after which the signals mean what they meant before (Lightning leaves its handlers behind).
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopOnSignal":
        self._before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        if threading.current_thread() is threading.main_thread():
            for each, handler in self._before.items():
                signal.signal(each, handler)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals over. Lightning has its own handlers in place by now; they would raise in mid-step."""
        if threading.current_thread() is not threading.main_thread():
            return  # Python delivers signals to the main thread only

        def stop(number: int, frame: Any) -> None:
            if self.received is not None:
                raise KeyboardInterrupt
            self.received = signal.Signals(number)
            trainer.should_stop = True

        for each in self._before:
            signal.signal(each, stop)
