"""Changes that were made while a run was trained: edits.jsonl in its folder, one a line.

    {"step": 120, "setting": "prompt", "value": "a blue mushroom"}
    {"step": 150, "setting": "system.guidance.guidance_scale", "value": 30.0}

Each was made when `step` steps were done. A resume makes them again at the same steps, and so ends in the same bits; a
run that is opened later is as the last one before its checkpoint left it.
"""

import json
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer

from core.errors import UserError
from core.failures import told
from core.files import parse_json, write_whole
from systems.base import LightningSystem
from systems.steering import steer, steerable

log = logging.getLogger(__name__)

EDITS = "edits.jsonl"


@dataclass(frozen=True)
class Edit:
    """One change, as a line of edits.jsonl."""

    step: int
    """Steps that were done when it was made."""
    setting: str
    """`prompt`, or its name in the recipe."""
    value: Any
    """As a recipe would say it."""


def read_edits(folder: Path) -> list[Edit]:
    """The changes of a run, in the order in which they are to be made.

    Raises:
        UserError: a line is no such change. A last line that was being written when its process ended does not count.
    """
    path = folder / EDITS
    if not path.is_file():
        return []
    lines = path.read_bytes().split(b"\n")
    edits: list[Edit] = []
    for number, line in enumerate(lines[:-1], start=1):  # a whole line ends with a line feed
        try:
            said = parse_json(line)
            edits.append(Edit(int(said["step"]), str(said["setting"]), said["value"]))
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: line {number} is no change of a setting; mend it or take it out") from error
    return sorted(edits, key=lambda edit: edit.step)


def replay(system: LightningSystem, folder: Path, step: int) -> None:
    """Make the changes that were made until a step; the system is set up.

    Raises:
        UserError: one that cannot be made any more.
    """
    for edit in read_edits(folder):
        if edit.step <= step:
            _make(system, edit)


def last_prompt(folder: Path) -> str | None:
    """The prompt that a run was changed to at last, or None."""
    prompts = [str(edit.value) for edit in read_edits(folder) if edit.setting == "prompt"]
    return prompts[-1] if prompts else None


class Steering:
    """Changes that somebody asks for while a run is trained; any thread may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: deque[tuple[str, Any, Callable[[str | None], None]]] = deque(maxlen=100)

    def ask(self, setting: str, value: Any, done: Callable[[str | None], None] = lambda _: None) -> None:
        """Have a setting changed before the next step.

        Args:
            done: is told, in the training's thread, None when that has happened, or why it could not.
        """
        with self._lock:
            self._asked.append((setting, value, done))

    def taken(self) -> list[tuple[str, Any, Callable[[str | None], None]]]:
        """What was asked since this was called last."""
        with self._lock:
            asked = list(self._asked)
            self._asked.clear()
        return asked


class Edits(Callback):
    """Makes the changes that are asked for, writes them down, and makes again those that were written down before."""

    def __init__(self, folder: Path, steering: Steering) -> None:
        self.folder, self.steering = folder, steering
        self._ahead: deque[Edit] = deque()
        self._begun: tuple[int, dict[str, Any]] | None = None
        """How many changes had been made when the run was opened, and its settings then."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Changes until now were made when the run was opened; one that goes back to a checkpoint begins from there."""
        assert isinstance(pl_module, LightningSystem)
        if self._begun is None:
            n_made = sum(edit.step <= trainer.global_step for edit in read_edits(self.folder))
            self._begun = n_made, steerable(pl_module)
        n_made, settings = self._begun
        for setting, value in settings.items():
            if steerable(pl_module)[setting] != value:
                steer(pl_module, setting, value)
        self._ahead = deque(read_edits(self.folder)[n_made:])
        self._make_all(trainer, pl_module)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Between two steps: first what is written down, then what is new."""
        self._make_all(trainer, pl_module)

    def _make_all(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, LightningSystem)
        step = trainer.global_step
        while self._ahead and self._ahead[0].step <= step:
            _make(pl_module, self._ahead.popleft())
        for setting, value, done in self.steering.taken():
            edit = Edit(step, setting, value)
            if trainer.world_size > 1:
                done("trainer.devices: while several processes train, nothing can be changed")
                continue
            try:
                _make(pl_module, edit)
            except Exception as error:  # what somebody asks for ends no training
                done(str(told(error)))
                continue
            self._write(edit)
            done(None)

    def _write(self, edit: Edit) -> None:
        """On the disk before the next step is made: no step may depend on a change that a power cut could forget."""
        path = self.folder / EDITS
        _without_torn_line(path)
        with path.open("ab") as file:
            file.write(json.dumps(asdict(edit)).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def _without_torn_line(path: Path) -> None:
    """Forget the beginning of a line that was being written when its process ended: no step was made with it."""
    content = path.read_bytes() if path.is_file() else b""
    if content and not content.endswith(b"\n"):
        write_whole(path, content[: content.rfind(b"\n") + 1])


def _make(system: LightningSystem, edit: Edit) -> None:
    steer(system, edit.setting, edit.value)
    log.info("step %d: %s is %s", edit.step, edit.setting, json.dumps(edit.value, ensure_ascii=False))
