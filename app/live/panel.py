"""The widgets of one visitor: what to see, and, for the one in control, what to do with the run.

Every visitor has widgets of their own. Who is not in control sees them greyed out; since a browser may send anything,
what it asks is checked again here.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from app.live.session import Session
from app.live.view import KINDS
from app.live.visitors import Visitor
from core.types import Cameras

#: Training cameras that are shown.
N_FRUSTA = 24


class Panel:
    """One visitor's widgets."""

    def __init__(self, session: Session, visitor: Visitor) -> None:
        self.session, self.visitor = session, visitor
        self.gui = visitor.client.gui
        self._steering: list[Any] = []
        self._frusta: list[Any] = []
        self._who = self.gui.add_markdown("")
        with self.gui.add_folder("Look"):
            self._add_looking()
        with self.gui.add_folder("Train"):
            self._add_training()
        visitor.tell_controls = self._told_control

    def steering(self, widget: Any) -> Any:
        """A widget that only the visitor in control may use."""
        self._steering.append(widget)
        return widget

    def button(self, label: str, hint: str, action: Callable[[], Any]) -> Any:
        """A button for the visitor in control."""
        widget = self.steering(self.gui.add_button(label, hint=hint))
        widget.on_click(self.if_in_control(lambda _: action()))
        return widget

    def if_in_control(self, action: Callable[[Any], Any]) -> Callable[[Any], None]:
        """A callback that does nothing for visitors who may not steer."""

        def checked(event: Any) -> None:
            if self.session.visitors.controls(self.visitor.client.client_id):
                action(event)

        return checked

    def _add_looking(self) -> None:
        shown = self.gui.add_dropdown("Show", KINDS, initial_value=self.visitor.kind, hint="What is drawn")
        frusta = self.gui.add_checkbox("Training cameras", False, hint="Where pictures for the training are taken from")

        @shown.on_update
        def _(_: Any) -> None:
            if shown.value in KINDS:
                self.visitor.kind, self.visitor.moved = shown.value, time.monotonic()
                self.session.controls.wake()

        @frusta.on_update
        def _(_: Any) -> None:
            self.session.controls.ask(lambda: self._show_frusta(bool(frusta.value)))

    def _add_training(self) -> None:
        controls = self.session.controls
        self.button("Pause", "After the step that it is in", controls.pause)
        self.button("Go on", "Train again", controls.go_on)
        self.button("One step", "Make one step, and pause again", controls.one_step)
        self.button("Stop", "End the training with a checkpoint; it can be resumed", controls.end)
        percent = round(100 * self.session.visitors.budget.share)
        share = self.gui.add_slider("For viewers, %", 0, 50, 1, percent, hint="Most of the training's time")
        self.steering(share).on_update(self.if_in_control(lambda _: self._set_share(share.value)))

    def _set_share(self, percent: Any) -> None:
        if isinstance(percent, int | float) and 0 <= percent <= 50:
            self.session.visitors.budget.share = percent / 100

    def _show_frusta(self, are_shown: bool) -> None:
        """Stand the cameras of views from all sides in the scene; in the training's thread."""
        for frustum in self._frusta:
            frustum.remove()
        self._frusta = []
        if not are_shown or self.session.shown is None:
            return
        cameras = self.session.shown.run.system.surrounding_cameras(N_FRUSTA, 16)
        add = self.visitor.client.scene.add_camera_frustum
        self._frusta = [add(f"/cameras/{i}", **frustum(cameras, i)) for i in range(N_FRUSTA)]

    def _told_control(self, is_in_control: bool) -> None:
        for widget in self._steering:
            widget.disabled = not is_in_control
        self._who.content = "You control this run." if is_in_control else "Another visitor controls this run."


def frustum(cameras: Cameras, i: int) -> dict[str, Any]:
    """What viser is told of a camera: OpenCV's axes (right, down, forward), angles in radians."""
    from viser.transforms import SO3

    c2w = cameras.c2w[i].cpu().double().numpy()
    rotation = SO3.from_matrix(c2w[:3, :3] * np.array([1.0, -1.0, -1.0]))
    return {
        "fov": float(np.radians(float(cameras.fovy_deg[i]))),
        "aspect": cameras.width / cameras.height,
        "scale": 0.08,
        "color": (90, 90, 200),
        "wxyz": rotation.wxyz,
        "position": c2w[:3, 3],
    }
