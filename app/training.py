"""The training loop: a Lightning Trainer, and how it is brought to an end."""

import logging
import signal
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import disable_possible_user_warnings

from app.divided_views import DividedViews
from app.events import Listener, Stepped
from app.machine import Device, resolve_precision
from app.stopping import Interrupted, Saver, Stop
from core.chance import ALONE, Rank
from core.kinds import TrainerConfig
from systems.checkpoint_files import CheckpointFiles


def make_trainer(
    config: TrainerConfig, device: Device, folder: Path, callbacks: Sequence[Callback], rank: Rank = ALONE
) -> Trainer:
    """A Trainer that does what the recipe says and nothing by itself: files and words come from callbacks.

    Args:
        rank: of the processes that train together, which have joined (app/ranks.py).
    """
    disable_possible_user_warnings()  # hints on data loading and logging, which text-to-3D has none of
    # Lightning 2.6 calls what torch 2.13 deprecates; nothing that a user could mend.
    warnings.filterwarnings("ignore", message=".isinstance.treespec, LeafSpec")
    # The first steps of mixed precision may be skipped, while gradients still overflow; the schedule need not wait.
    warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    return Trainer(
        accelerator="gpu" if device == "cuda" else "cpu",
        devices=rank.n_ranks,
        strategy=DividedViews(rank) if rank.n_ranks > 1 else "auto",
        precision=resolve_precision(config.precision, device),
        max_steps=config.max_steps,
        max_epochs=-1,
        gradient_clip_val=config.gradient_clip,
        callbacks=list(callbacks),
        plugins=[CheckpointFiles()],
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


def fit(trainer: Trainer, system: LightningModule, checkpoint: Path | None, stop: Stop) -> None:
    """Train to the end of the recipe, or until `stop` is requested, which an `Ending` among the callbacks sees to.

    Raises:
        Interrupted: a signal has come before the first step.
        KeyboardInterrupt: Ctrl-C, where `stop` does not take it.
    """
    trainer.limit_val_batches = 0  # Lightning would look at views of its own before a stopped training is saved
    try:
        trainer.fit(system, ckpt_path=checkpoint, weights_only=True)
    except BaseException as error:
        system.on_fit_end()  # Lightning leaves it out where a training fails; views drawn ahead would hold up its end
        if isinstance(error, SystemExit):  # what Lightning makes of a KeyboardInterrupt
            raise KeyboardInterrupt from None
        if not (isinstance(error, Interrupted) and stop.is_requested):
            raise
    finally:
        stop.disarm()


class StepEvents(Callback):
    """Calls a listener after every step."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        """Called when the step's gradients have been applied."""
        self.listener(Stepped(trainer.global_step, trainer.max_steps, float(outputs["loss"])))


class Ending(Callback):
    """Ends the training when that is requested; Lightning's own handler of SIGTERM would raise in mid-step."""

    def __init__(self, stop: Stop, saver: Saver | None = None) -> None:
        self.stop, self.saver = stop, saver
        self._handler: Any = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Remember the SIGTERM handler before Lightning replaces it."""
        self._handler = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put it back, and arm `stop`."""
        if threading.current_thread() is threading.main_thread() and self._handler is not None:
            signal.signal(signal.SIGTERM, self._handler)
        self.stop.arm(self.saver)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Ask Lightning to begin no further step."""
        if self.stop.is_requested:
            trainer.should_stop = True
