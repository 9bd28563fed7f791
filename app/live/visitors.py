"""Who looks at the page, what each of them sees, and whose picture is drawn next."""

import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from app.live.budget import Promise
from app.live.controls import Controls
from app.live.server import LiveServer
from app.live.view import Kind, Painter, Picture, Pose

#: A camera that has not moved for so long is at rest, in seconds.
RESTS_AFTER_S = 0.3


@dataclass(eq=False)
class Visitor:
    """One open page, what it shows, and since when."""

    client: Any
    """viser's handle of it."""
    came: float
    kind: Kind = "colour"
    moved: float = 0.0
    """When its camera, or what it wants to see, changed last."""
    drawn: float = 0.0
    """When the picture that it shows was drawn."""
    drawn_step: int = -1
    """Steps that the object of that picture had been trained."""
    shows_small: bool = True
    tell_controls: Callable[[bool], None] = field(default=lambda _: None)
    """Called with whether this visitor controls the run, when that changes."""
    refill: Callable[[], None] = field(default=lambda: None)
    """Called when another run is shown."""
    see_files: Callable[[], None] = field(default=lambda: None)
    """Called in the training's thread when files were made."""
    tick: Callable[[], None] = field(default=lambda: None)
    """Called there a few times a second, to bring up to date what does not come by itself."""

    def wants(self, step: int, now: float) -> bool | None:
        """Which picture it waits for: True a small one, False a full one, None neither."""
        if self.kind == "mesh":
            return None
        is_new = self.moved > self.drawn
        if now - self.moved < RESTS_AFTER_S:
            return True if is_new else None
        return False if is_new or self.shows_small or self.drawn_step != step else None

    def pose(self) -> Pose | None:
        """Where it looks from, or None as long as that is not known."""
        camera = self.client.camera
        try:
            from viser.transforms import SO3

            rotation = SO3(np.asarray(camera.wxyz, dtype=np.float64)).as_matrix()
            return Pose.of_opencv(rotation, camera.position, float(camera.fov), float(camera.aspect))
        except (AssertionError, ArithmeticError, TypeError, ValueError):  # no camera yet, or no numbers
            return None


class Visitors:
    """All open pages. The first one controls the run; when it is closed, the one that came next does."""

    def __init__(self, server: LiveServer, controls: Controls) -> None:
        self._server, self._controls = server, controls
        self._lock = threading.Lock()
        self._here: dict[int, Visitor] = {}
        self._in_control: int | None = None
        self.promise = Promise()
        server.holds_back = self.promise.owes

    def __len__(self) -> int:
        return len(self._here)

    def all(self) -> list[Visitor]:
        """Everybody, in the order in which they came."""
        with self._lock:
            return sorted(self._here.values(), key=lambda visitor: visitor.came)

    def enter(self, client: Any) -> Visitor:
        """A page was opened."""
        visitor = Visitor(client, came=time.monotonic(), moved=time.monotonic())
        with self._lock:
            self._here[client.client_id] = visitor

        async def moved(_: Any) -> None:
            visitor.moved = time.monotonic()
            self._controls.wake()

        client.camera.on_update(moved)
        return visitor

    def leave(self, client: Any) -> None:
        """A page was closed, or its browser is gone."""
        with self._lock:
            self._here.pop(client.client_id, None)
        self.choose_controller()

    def controls(self, client_id: int) -> bool:
        """Whether this visitor may steer."""
        return client_id == self._in_control

    def hand_over(self) -> None:
        """Let the visitor who came after the one in control have it."""
        everybody = self.all()
        numbers = [visitor.client.client_id for visitor in everybody]
        if self._in_control in numbers and len(numbers) > 1:
            self._in_control = numbers[(numbers.index(self._in_control) + 1) % len(numbers)]
            self._tell(everybody)

    def choose_controller(self) -> None:
        """Somebody controls the run as long as anybody is there."""
        everybody = self.all()
        if self._in_control not in [visitor.client.client_id for visitor in everybody]:
            self._in_control = everybody[0].client.client_id if everybody else None
        self._tell(everybody)

    def look(self, painter: Painter, step: int, is_waiting: bool) -> None:
        """Draw what visitors wait for: while the training waits, all of it; else one picture, if there is time for it.

        Called in the training's thread.
        """
        if not self._here:
            return
        if not is_waiting:
            self.promise.spend(self._server.seconds_worked())
        while is_waiting or self.promise.allows():
            now = time.monotonic()
            waiting = [visitor for visitor in self.all() if visitor.wants(step, now) is not None]
            if not waiting:
                return
            visitor = min(waiting, key=lambda each: (each.moved <= each.drawn, each.drawn))  # who moves comes first
            with nullcontext() if is_waiting else self.promise.spending(is_picture=True):
                self._draw(painter, visitor, step, is_small=bool(visitor.wants(step, now)))
            if not is_waiting:
                return

    def rest(self) -> None:
        """The training has waited until now: what visitors took meanwhile was free."""
        self._server.seconds_worked()
        self.promise.rest()

    def _draw(self, painter: Painter, visitor: Visitor, step: int, is_small: bool) -> None:
        begun = time.monotonic()
        pose = visitor.pose()
        if pose is not None:
            show(visitor, painter.draw(pose, visitor.kind, is_small))
        visitor.drawn, visitor.drawn_step, visitor.shows_small = begun, step, is_small

    def _tell(self, everybody: list[Visitor]) -> None:
        for visitor in everybody:
            visitor.tell_controls(self.controls(visitor.client.client_id))


def show(visitor: Visitor, picture: Picture) -> None:
    """Put a picture behind what stands in the visitor's scene."""
    visitor.client.scene.set_background_image(picture.rgb, format="jpeg", jpeg_quality=90, depth=picture.depth)
