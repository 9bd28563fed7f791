"""`--live`: the page is opened, what was asked for is trained or shown, and the page stays until Ctrl-C."""

import sys
import threading
from dataclasses import replace
from typing import Any

from app.api import carry_out
from app.events import Event, Listener
from app.live.controls import Controls
from app.live.edits import Steering
from app.live.files import Files
from app.live.fork import Fork
from app.live.form import Form, known_recipes
from app.live.index import Index, Listing
from app.live.look import Look
from app.live.panel import Panel, Train
from app.live.server import LiveServer
from app.live.session import Session
from app.live.steer import Steer
from app.plan import Plan, Request, make_plan
from app.process import Signals, StopOnSignals
from app.progress import Progress
from app.run import ExportError, Run, open_run
from app.stopping import Stop
from core.errors import UserError


def live(request: Request, host: str, port: int | None, is_paused: bool, signals: Signals) -> int:
    """Open the page, do what is asked for, and show it until a signal ends it; gives the exit code.

    Args:
        request: a training, a trained run to look at, or neither: then the page begins with a form, and with the list
            of runs in `out`. A folder of runs in place of a run means that too.
        host: the address to listen on.
        port: None: the first free one from 8080 on.
        is_paused: whether the training waits before its first step.
        signals: what ends it.

    Raises:
        UserError: for everything that the user can mend.
    """
    if request.run is not None and request.run.is_dir() and not (request.run / "recipe.yaml").is_file():
        request = replace(request, out=request.run, run=None, trained=False)  # a folder of runs
    server = LiveServer(host, port)
    try:
        page = Page(server, Controls(is_paused), request, signals)
        if request.trained:
            page.session.show(open_run(make_plan(request)))
        elif not page.has_form:
            page.session.queue.add(request)
        print(f"Live at {server.address}", file=sys.stderr, flush=True)
        return page.work()
    finally:
        server.close()


class Page:
    """The page with all visitors' panels, and the trainings that wait for their turn."""

    def __init__(self, server: LiveServer, controls: Controls, request: Request, signals: Signals) -> None:
        self.session = Session(server, controls, request.out, request.device)
        self.signals = signals
        self.has_form = request.recipe is None and request.run is None
        self._recipes = known_recipes() if self.has_form else {}
        self._listing = Listing(request.out)
        viser = server.viser
        viser.scene.set_up_direction("+y")
        viser.scene.world_axes.visible = False
        viser.on_client_connect(self._enter)
        viser.on_client_disconnect(self._leave)

    def work(self) -> int:
        """Train what waits, one after the other, and show the last run, until a signal comes; gives the exit code."""
        while True:
            plan = self.session.queue.next()
            if plan is None:
                stop = StopOnSignals(self.signals)
                stop.arm()
                while not stop.is_requested and not len(self.session.queue):
                    self.session.idle()
                stop.disarm()
                if stop.is_requested:
                    return 0
            elif code := self._train(plan):
                return code

    def _train(self, plan: Plan) -> int:
        """The exit code where a signal has ended the training, else 0."""
        stop, session, progress = StopOnSignals(self.signals), self.session, Progress()

        def hear(event: Event) -> None:
            progress(event)
            session(event)

        session.controls.stop, session.exports_when_stopped, session.steering = stop, False, Steering()
        try:
            run = self._carried_out(plan, hear, stop)
            if run is None:
                return 0
            session.show(run)
            if session.exports_when_stopped and not run.is_finished:
                session.say("exporting")
                run.export(on_event=hear)
                session.say("stopped")
        except ExportError as error:  # the run is there, and can be looked at
            session.tell_all("Not exported", str(error))
            session.say("stopped")
        finally:
            session.controls.stop = None
            progress.close()
        return self.signals.exit_code

    def _carried_out(self, plan: Plan, hear: Listener, stop: Stop) -> Run | None:
        """The run; None where it has failed, which ends the page only if it was the first one.

        Raises:
            UserError: the first run has failed, and left nothing to show.
        """
        is_first = self.session.shown is None
        try:
            if plan.recipe.trainer.devices > 1:
                raise UserError("--live: shows the training of one process; say trainer.devices=1")
            return carry_out(plan, on_event=hear, stop=stop, steering=self.session.steering)
        except ExportError as error:
            self.session.tell_all("Not exported", str(error))
            return error.run
        except UserError as error:
            if is_first and not self.has_form:
                raise
            self.session.tell_all("Failed", str(error))
            self.session.say("failed")
            return None

    async def _enter(self, client: Any) -> None:
        visitor = self.session.visitors.enter(client)
        self.session.server.limit_uploads(client.gui)
        panel = Panel(self.session, visitor)
        look = Look(panel)
        first = [Form(panel, self._recipes)] if self.has_form else []
        index = [Index(panel, self._listing)] if self.has_form else []
        sections = [look, *first, *index, Train(panel), Steer(panel), Files(panel), Fork(panel)]

        filling = threading.Lock()

        def refill() -> None:
            with filling:
                for section in sections:
                    section.fill()

        def tick() -> None:
            for section in (look, *index):
                section.tick()

        visitor.refill, visitor.see_files, visitor.tick = refill, look.show_mesh, tick
        refill()  # now, and not between two steps: a slow training would come in between what is typed
        self.session.visitors.choose_controller()

    async def _leave(self, client: Any) -> None:
        self.session.visitors.leave(client)
