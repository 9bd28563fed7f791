"""Training state on disk, whole or not at all: a kill at any moment leaves the last complete state."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from tqdm import tqdm


def save_state(path: Path, state: dict[str, object]) -> None:
    """Writes `state` beside `path`, then puts it in place in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def save_json(path: Path, value: dict) -> None:
    """Writes `value` as indented JSON beside `path`, then puts it in place in one step."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(value, indent=2) + "\n")
    os.replace(partial, path)


def load_state(path: Path) -> dict | None:
    """What `save_state` wrote, or None where there is nothing yet."""
    if not path.exists():
        return None
    return torch.load(path, map_location="cpu", weights_only=True)


def settings_since(saved: dict | None, settings: dict) -> list[dict]:
    """The settings of a stage so far, each with the step from which it held; a resumed stage may have new ones."""
    history = list(saved["history"]) if saved else []
    if not history or history[-1]["settings"] != settings:
        history.append({"from_step": saved["step"] if saved else 0, "settings": settings})
    return history


def stage_facts(step: int, history: list[dict], seconds: float, losses: list[float]) -> dict:
    """What the model card tells of a stage; the loss is the mean over its last 200 steps."""
    recent = losses[-200:]
    return {"steps": step, "history": history, "seconds": round(seconds), "loss": sum(recent) / max(1, len(recent))}


class Clock:
    """Seconds of work over all the runs of a stage, for the model card."""

    def __init__(self, earlier: float = 0.0) -> None:
        self._earlier = earlier
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Work so far, earlier runs included."""
        return self._earlier + time.monotonic() - self._started


def steps(stage: str, first: int, total: int) -> Iterator[tuple[int, tqdm]]:
    """(step, bar) from `first` to `total` - 1 behind a progress bar that shows the time left."""
    with tqdm(total=total, initial=first, desc=stage, unit="step", mininterval=5) as bar:
        for step in range(first, total):
            yield step, bar
            bar.update()


def cosine_rate(step: int, total: int, peak: float, warmup: int, final: float = 0.02) -> float:
    """Learning rate: a linear warm-up to `peak`, then half a cosine down to `final` of it."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, total - warmup)
    return peak * (final + (1 - final) * 0.5 * (1 + torch.cos(torch.tensor(progress * torch.pi)).item()))
