"""The widgets of one visitor, and who may use them.

Every visitor has widgets of their own. Who is not in control sees those that steer greyed out; since a browser may send
anything, what it asks is checked again here.
"""

import random
from collections.abc import Callable
from typing import Any

from app.live.session import Session
from app.live.strangers import without_paths
from app.live.visitors import Visitor
from app.plan import Request
from core.errors import UserError

MOST_SEED = 2**32 - 1


class Panel:
    """One visitor's widgets: a viser GUI of its own, and what the parts of the panel share."""

    def __init__(self, session: Session, visitor: Visitor) -> None:
        self.session, self.visitor = session, visitor
        self.gui = visitor.client.gui
        self._steering: list[Any] = []
        self._who = self.gui.add_markdown("")
        visitor.tell_controls = self._told_control

    def steering(self, widget: Any) -> Any:
        """A widget that only the visitor in control may use."""
        widget.disabled = not self.session.visitors.controls(self.visitor.client.client_id)
        self._steering.append(widget)
        return widget

    def remove(self, widget: Any) -> None:
        """Take a widget that steers out again."""
        self._steering.remove(widget)
        widget.remove()

    def button(self, label: str, hint: str, action: Callable[[], Any]) -> Any:
        """A button for the visitor in control."""
        widget = self.steering(self.gui.add_button(label, hint=hint))
        widget.on_click(self.if_in_control(lambda _: action()))
        return widget

    def seed(self, label: str, dice: str) -> Any:
        """A field for a seed, and a button under it that draws another one."""
        field = self.steering(self.gui.add_number(label, 0, min=0, max=MOST_SEED, step=1))

        def throw() -> None:
            field.value = random.randint(0, MOST_SEED)

        self.button(dice, "Another seed", throw)
        return field

    def if_in_control(self, action: Callable[[Any], Any]) -> Callable[[Any], None]:
        """A callback that does nothing for visitors who may not steer."""

        def checked(event: Any) -> None:
            if self.session.visitors.controls(self.visitor.client.client_id):
                action(event)

        return checked

    def tell(self, title: str, text: str) -> None:
        """Show this visitor a note; paths of this machine are left out of it."""
        self.visitor.client.add_notification(title, without_paths(text, self.session.out), auto_close_seconds=12.0)

    def send(self, name: str, content: bytes) -> None:
        """Let this visitor's browser save a file."""
        self.visitor.client.send_file_download(name, content, save_immediately=True)

    def enqueue(self, request: Request) -> bool:
        """Have something trained when its turn comes; where that cannot be, the visitor is told why."""
        try:
            self.session.queue.add(request)
        except UserError as error:
            self.tell("Not started", str(error))
            return False
        self.session.controls.wake()
        return True

    def _told_control(self, is_in_control: bool) -> None:
        for widget in self._steering:
            widget.disabled = not is_in_control
        self._who.content = "You control this run." if is_in_control else "Another visitor controls this run."


class Train:
    """Pause, go on, one step, stop; and how much of its time the training gives to visitors."""

    def __init__(self, panel: Panel) -> None:
        self._panel = panel
        controls, visitors = panel.session.controls, panel.session.visitors
        self._folder = panel.gui.add_folder("Train", visible=False)
        with self._folder:
            panel.button("Pause", "After the step that it is in", controls.pause)
            panel.button("Go on", "Train again; also a run that was stopped", self._go_on)
            panel.button("One step", "Make one step, and pause again", controls.one_step)
            panel.button("Stop", "End the training with a checkpoint; it can be resumed", controls.end)
            panel.button("Stop and export", "End the training, and make the recipe's files", self._stop_and_export)
            share = panel.gui.add_slider("For viewers, %", 0, 50, 1, 10, hint="Most of the training's time")
            panel.steering(share).on_update(panel.if_in_control(lambda _: self._set_share(share.value)))
            panel.button("Hand over", "Let the next visitor control the run", visitors.hand_over)
            panel.button("Clear the queue", "Forget the trainings that wait for their turn", panel.session.queue.clear)

    def fill(self) -> None:
        """There is nothing to do with a run that is not trained; in the training's thread."""
        shown = self._panel.session.shown
        self._folder.visible = shown is not None

    def _go_on(self) -> None:
        session = self._panel.session
        session.controls.go_on()
        if session.shown is not None and session.shown.state == "stopped":
            self._panel.enqueue(Request(run=session.shown.run.folder, out=session.out, device=session.device))

    def _stop_and_export(self) -> None:
        self._panel.session.exports_when_stopped = True
        self._panel.session.controls.end()

    def _set_share(self, percent: Any) -> None:
        if isinstance(percent, int | float) and 0 <= percent <= 50:
            self._panel.session.visitors.promise.share = percent / 100
