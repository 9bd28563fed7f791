"""The live page as a listener of a training: it shows the run, and lets visitors look and steer between two steps."""

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.events import Event, Exported, Started, Stepped, Trained
from app.live.controls import Controls, Speed, held_off
from app.live.edits import Steering
from app.live.queue import Queue
from app.live.server import LiveServer
from app.live.strangers import plain_markdown, without_paths
from app.live.view import Painter
from app.live.visitors import Visitors
from app.progress import in_minutes
from app.run import Run
from core.recipe import read_recipe
from exporters.stages import stages_in

#: Where a visitor stands at first: elevation and azimuth in degrees, distance from the object, and field of view.
FIRST_LOOK = (20.0, 30.0, 1.8, 47.0)
#: The figures on the page are brought up to date so often, in seconds; more seldom for a crowd, each of whom is told.
FIGURES_EVERY_S, FIGURES_A_SECOND = 0.4, 20


@dataclass
class Shown:
    """The run on the page, and how far it is."""

    run: Run
    painter: Painter
    total_steps: int
    step: int
    state: str
    """In words: training, paused, finished ..."""
    loss: float | None = None

    @property
    def is_training(self) -> bool:
        """Whether steps are made, or will be when the pause ends."""
        return self.state in ("training", "paused")


class Session:
    """One server, and what its page shows: a run that is trained, one that is finished, or none yet."""

    def __init__(self, server: LiveServer, controls: Controls, out: Path, device: str) -> None:
        """
        Args:
            out: the folder that runs go into; nothing else is read or sent.
            device: of new runs.
        """
        self.server, self.controls, self.out, self.device = server, controls, out, device
        self.queue, self.steering = Queue(), Steering()
        self.exports_when_stopped = False
        self.visitors = Visitors(server, controls)
        self.speed = Speed()
        self.shown: Shown | None = None
        self._figures = server.viser.gui.add_markdown("Nothing is shown yet.")
        self._next_figures = 0.0
        self._stand(*FIRST_LOOK)

    def __call__(self, event: Event) -> None:
        """Follow a training: called in its thread, between two steps."""
        if isinstance(event, Started):
            recipe = read_recipe(event.folder / "recipe.yaml")
            self.show(Run(event.folder, recipe, event.system, event.step), "training")
            self._turn()
        elif isinstance(event, Stepped) and self.shown is not None:
            self.shown.step, self.shown.loss = event.step, event.loss
            self.speed.mark(event.step)
            self._turn()
        elif isinstance(event, Trained):
            self.say("exporting" if event.step >= event.total_steps else "stopped")
        elif isinstance(event, Exported):
            self._files_made()

    def show(self, run: Run, state: str | None = None) -> None:
        """Put a run on the page; one that is not being trained is finished, or was stopped."""
        state = state or ("finished" if run.is_finished else "stopped")
        self.speed = Speed()
        self.shown = Shown(run, Painter(run.system), run.recipe.trainer.max_steps, run.step, state)
        first = run.cameras(1)  # as near, and as wide, as training looks
        distance = float(first.c2w[0, :3, 3].norm())
        self._stand(*FIRST_LOOK[:2], distance, float(first.fovy_deg[0]))
        for visitor in self.visitors.all():
            visitor.moved = time.monotonic()
            visitor.refill()
        self.say(state)

    def tell_all(self, title: str, text: str) -> None:
        """Show every visitor a note; paths of this machine are left out of it."""
        for visitor in self.visitors.all():
            visitor.client.add_notification(title, without_paths(text, self.out), auto_close_seconds=30.0)

    def say(self, state: str) -> None:
        """Bring the figures up to date."""
        if self.shown is not None:
            self.shown.state = state
            waiting = self.queue.prompts
            self._figures.content = figures(self.shown, self.speed, self.visitors, waiting)

    def idle(self) -> None:
        """One round of showing a run that nothing is done with."""
        self.controls.idle(self._look)

    def _files_made(self) -> None:
        for visitor in self.visitors.all():
            visitor.see_files()

    def _stand(self, elevation_deg: float, azimuth_deg: float, distance: float, fovy_deg: float) -> None:
        """Where visitors stand who come from now on, and return to by `Reset View`."""
        elevation, azimuth = math.radians(elevation_deg), math.radians(azimuth_deg)
        level = math.cos(elevation)
        direction = np.array([level * math.sin(azimuth), math.sin(elevation), level * math.cos(azimuth)])
        camera = self.server.viser.initial_camera
        camera.position, camera.look_at, camera.fov = distance * direction, np.zeros(3), math.radians(fovy_deg)

    def _turn(self) -> None:
        begun = time.monotonic()
        if self.controls.turn(self._look):
            self.speed.stood_still(time.monotonic() - begun)
            self.visitors.rest()

    def _look(self, is_waiting: bool) -> None:
        visitors, shown, now = self.visitors, self.shown, time.monotonic()
        if is_waiting:
            visitors.rest()
        with held_off():
            if now >= self._next_figures and len(visitors) and (is_waiting or not visitors.promise.owes()):
                self._next_figures = now + max(FIGURES_EVERY_S, len(visitors) / FIGURES_A_SECOND)
                with nullcontext() if is_waiting else visitors.promise.spending():
                    self._tell_figures(is_waiting)
            if shown is not None:
                visitors.look(shown.painter, shown.step, is_waiting)

    def _tell_figures(self, is_waiting: bool) -> None:
        shown = self.shown
        for visitor in self.visitors.all():
            visitor.tick()
        if shown is not None:
            self.say(("paused" if is_waiting else "training") if shown.is_training else shown.state)


def figures(shown: Shown, speed: Speed, visitors: Visitors, waiting: Sequence[str]) -> str:
    """What is said of the run, in Markdown."""
    folder, stages = shown.run.folder, stages_in(shown.run.folder.parent)
    stage = f", stage {stages.index(folder.name) + 1} of {len(stages)}" if folder.name in stages else ""
    lines = [f"**{plain_markdown(shown.run.system.shown_prompt) or '(no prompt)'}**: {shown.state}{stage}"]
    loss = "" if shown.loss is None else f", loss {shown.loss:.4f}"
    lines.append(f"step {shown.step} of {shown.total_steps}{loss}")
    if shown.is_training:
        left = speed.seconds_left(shown.step, shown.total_steps)
        time_left = "" if left is None else f", {in_minutes(left)} left"
        lines.append(f"{speed.per_second:.1f} steps/s{time_left}")
        lines.append(f"looking costs {100 * visitors.promise.measured:.1f} % of the training's time")
    n = len(visitors)
    lines.append(f"{n} {'visitor' if n == 1 else 'visitors'}")
    if waiting:
        lines.append("then: " + ", ".join(plain_markdown(prompt) or "(no prompt)" for prompt in waiting))
    return "  \n".join(lines)
