"""The training loop: a Lightning Trainer, the device and precision it runs with, and how it is brought to an end."""

import logging
import signal
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import disable_possible_user_warnings

from app.events import Listener, Stepped, Stop
from core.errors import UserError
from core.recipe import TrainerConfig

Device = Literal["cpu", "cuda"]
#: What ends a command. Lightning handles them in its own way while it trains, and would raise in mid-step.
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def resolve_device(wanted: str) -> Device:
    """The device of this process: a GPU with `auto` where there is one.

    Raises:
        UserError: `cuda` was asked for and cannot be had.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "--device cuda: torch sees no CUDA device here; use --device cpu, or install a CUDA build of torch"
        )
    return "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"


def resolve_precision(wanted: str, device: Device) -> Any:
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
        precision=resolve_precision(config.precision, device),
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


def fit(trainer: Trainer, system: LightningModule, checkpoint: Path | None, stop: Stop) -> None:
    """Train to the end of the recipe, or until `stop` is requested; signals mean afterwards what they meant before.

    Raises:
        KeyboardInterrupt: Ctrl-C, where `stop` does not take it.
    """
    with own_signals() as restore:
        # Last of the callbacks: what the others request after a step ends the training with that step.
        trainer.callbacks.append(_Ending(stop, restore))  # pyright: ignore[reportAttributeAccessIssue]
        try:
            trainer.fit(system, ckpt_path=checkpoint, weights_only=True)
        except SystemExit:  # what Lightning makes of a KeyboardInterrupt
            raise KeyboardInterrupt from None


class StopOnSignals(Stop):
    """Ctrl-C and termination signals are requests to stop; a second one ends the training at once."""

    def __init__(self) -> None:
        super().__init__()
        self.received: signal.Signals | None = None

    def arm(self) -> None:
        """Take the signals over."""
        if threading.current_thread() is threading.main_thread():  # Python delivers signals to no other
            for each in ENDING_SIGNALS:
                signal.signal(each, self._receive)

    def _receive(self, number: int, frame: Any) -> None:
        if self.is_requested:
            raise KeyboardInterrupt
        self.received = signal.Signals(number)
        self.request()


class StepEvents(Callback):
    """Calls a listener after every step."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        """Called when the step's gradients have been applied."""
        self.listener(Stepped(trainer.global_step, trainer.max_steps, float(outputs["loss"])))


class _Ending(Callback):
    """Keeps Lightning's signal handlers away, and ends the training when that is requested."""

    def __init__(self, stop: Stop, restore: Any) -> None:
        self.stop, self.restore = stop, restore

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lightning has put its handlers in place by now."""
        self.restore()
        self.stop.arm()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Ask Lightning to begin no further step."""
        if self.stop.is_requested:
            trainer.should_stop = True


@contextmanager
def own_signals() -> Iterator[Any]:
    """What puts the handlers of now back in place; it happens at the block's end in any case."""
    before = {each: signal.getsignal(each) for each in ENDING_SIGNALS}

    def restore() -> None:
        if threading.current_thread() is threading.main_thread():
            for each, handler in before.items():
                signal.signal(each, handler)

    try:
        yield restore
    finally:
        restore()
