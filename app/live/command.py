"""`--live`: the page is opened, what was asked for is trained or shown, and the page stays until Ctrl-C."""

import sys
from collections import deque

from app.api import carry_out
from app.events import Event
from app.live.controls import Controls
from app.live.panel import Panel
from app.live.server import LiveServer
from app.live.session import Session
from app.plan import Plan, Request, make_plan
from app.progress import Progress
from app.run import open_run
from app.stopping import Signals, StopOnSignals


def live(request: Request, host: str, port: int | None, is_paused: bool, signals: Signals) -> int:
    """Open the page, do what is asked for, and show it until a signal ends it; gives the exit code.

    Args:
        request: a training, a trained run to look at, or neither: then the page begins with a form.
        host: the address to listen on.
        port: None: the first free one from 8080 on.
        is_paused: whether the training waits before its first step.
        signals: what ends it.

    Raises:
        UserError: for everything that the user can mend.
    """
    plan = make_plan(request)
    server = LiveServer(host, port)
    try:
        print(f"Live at {server.address}", file=sys.stderr, flush=True)
        page = Page(server, Controls(is_paused), signals)
        if request.trained:
            page.session.show(open_run(plan), "finished")
            return page.stay()
        page.waiting.append(plan)
        return page.work()
    finally:
        server.close()


class Page:
    """The page with all visitors' panels, and the trainings that wait for their turn."""

    def __init__(self, server: LiveServer, controls: Controls, signals: Signals) -> None:
        self.session = Session(server, controls)
        self.waiting: deque[Plan] = deque()
        self.progress = Progress()
        self.signals = signals
        viser = server.viser
        viser.scene.set_up_direction("+y")
        viser.scene.world_axes.visible = False
        viser.on_client_connect(self._enter)
        viser.on_client_disconnect(self._leave)

    def work(self) -> int:
        """Train one after the other, and show the last one until a signal comes."""
        while self.waiting:
            code = self._train(self.waiting.popleft())
            if code:
                return code
        return self.stay()

    def stay(self) -> int:
        """Show what is there until a signal comes, or there is something to train."""
        stop = StopOnSignals(self.signals)
        stop.arm()
        while not stop.is_requested:
            self.session.idle()
        return 0

    def _train(self, plan: Plan) -> int:
        stop = StopOnSignals(self.signals)
        self.session.controls.stop = stop
        run = carry_out(plan, on_event=self._hear, stop=stop)
        self.session.controls.stop = None
        self.progress.close()
        if self.signals.received is not None:
            return self.signals.exit_code
        self.session.show(run, "finished" if run.is_finished else "stopped")
        return 0

    def _hear(self, event: Event) -> None:
        self.progress(event)
        self.session(event)

    async def _enter(self, client: object) -> None:
        visitor = self.session.visitors.enter(client)
        Panel(self.session, visitor)
        self.session.visitors.settle_control()

    async def _leave(self, client: object) -> None:
        self.session.visitors.leave(client)
