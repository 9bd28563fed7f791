"""The runs of a folder, jobs too, as a live list, and the one that a visitor opens."""

import contextlib
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from app.jobs.folder import DONE, FAILED, JOB, read_record
from app.jobs.index import UNFINISHED
from app.live.panel import Panel
from app.live.strangers import is_inside, leads_out, plain_markdown, without_paths
from app.run import Run
from app.run_folder import EXPORTED, is_exported, read_prompt
from core.errors import UserError
from exporters.stages import STAGES, stage_folders
from systems.checkpoint_files import checkpoints_of, step_of

#: Runs that are listed, the newest first.
MOST_LISTED = 50
#: The list is brought up to date so often, in seconds; more seldom where reading a folder takes long.
EVERY_S, SHARE = 3.0, 0.02
#: All that is read of a run's folder for its line.
READ = ("recipe.yaml", "prompt.txt", "checkpoints", STAGES, EXPORTED, JOB, DONE, FAILED)


@dataclass(frozen=True)
class Listed:
    """One run of a folder."""

    name: str
    prompt: str
    written: float
    """When its newest checkpoint, or else the folder, was written; seconds since 1970."""
    state: str
    """How it ended (done, failed ...), or `unfinished`."""
    more: str
    """How far it is, or why it failed."""
    can_be_opened: bool
    """Whether there is a checkpoint."""


def listed_runs(folder: Path) -> list[Listed]:
    """The runs in a folder, newest first. What leads out of the folder (links) is no run of it."""
    found: list[Listed] = []
    for path in folder.iterdir() if folder.is_dir() else []:
        is_run = (path / "recipe.yaml").is_file() or (path / JOB).is_file()
        if not is_run or path.is_symlink() or not all(is_inside(path / name, folder) for name in READ):
            continue
        with contextlib.suppress(OSError, UserError):  # it was removed just now, or its prompt is no text
            found.append(_listed(path))
    return sorted(found, key=lambda run: -run.written)


def _listed(path: Path) -> Listed:
    begun = [stage for stage in stage_folders(path) if stage.is_dir() and is_inside(stage, path)] or [path]
    checkpoints, record = checkpoints_of(begun[-1]), read_record(path)
    written = max(each.stat().st_mtime for each in [*checkpoints[:1], begun[-1], path])
    state = record.status if record else "done" if is_exported(begun[-1]) else UNFINISHED
    more = without_paths(record.error, path.parent) if record else ""
    if state == UNFINISHED:
        stage = f" of stage {len(begun)}" if begun != [path] else ""
        more = f"step {step_of(checkpoints[0])}{stage}" if checkpoints else "no checkpoint yet"
    return Listed(path.name, read_prompt(path), written, state, more, bool(checkpoints))


def table(runs: list[Listed], now: float) -> str:
    """The list in Markdown: how many there are, and the newest ones."""
    if not runs:
        return "No runs yet."
    counts = Counter(run.state for run in runs)
    lines = [f"{len(runs)} in all: " + ", ".join(f"{n} {state}" for state, n in counts.most_common()), ""]
    lines += ["| run | prompt | state | written |", "|---|---|---|---|"]
    for run in runs[:MOST_LISTED]:
        ago = max(0, int(now - run.written))
        when = f"{ago} s ago" if ago < 120 else f"{ago // 60} min ago" if ago < 7200 else f"{ago // 3600} h ago"
        state = ", ".join(filter(None, (run.state, run.more)))
        lines.append(f"| {' | '.join(map(plain_markdown, (run.name, run.prompt, state)))} | {when} |")
    return "\n".join(lines)


class Listing:
    """The runs of a folder as of now, for all visitors together."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._runs: list[Listed] = []
        self._next = 0.0

    def runs(self) -> list[Listed]:
        """The runs, looked up now and then."""
        if time.monotonic() >= self._next:
            begun = time.monotonic()
            self._runs = listed_runs(self.folder)
            now = time.monotonic()
            self._next = now + max(EVERY_S, (now - begun) / SHARE)
        return self._runs


class Index:
    """The list in one visitor's panel, and a choice of what to look at."""

    def __init__(self, panel: Panel, listing: Listing) -> None:
        self._panel, self._listing = panel, listing
        with panel.gui.add_folder("Runs"):
            self._list = panel.gui.add_markdown("")
            self._run = panel.steering(panel.gui.add_dropdown("Run", ["(none)"]))
            panel.button("Open", "Show a trained run", lambda: panel.session.controls.ask(self._show))

    def fill(self) -> None:
        """Another run is shown; the list of all stays."""
        self.tick()

    def tick(self) -> None:
        """Bring the list up to date; in the training's thread."""
        runs = self._listing.runs()
        content, names = table(runs, time.time()), tuple(run.name for run in runs if run.can_be_opened) or ("(none)",)
        if content != self._list.content:
            self._list.content = content
        if tuple(self._run.options) != names:
            self._run.options = names

    def _show(self) -> None:
        """In the training's thread, which loads the run."""
        session = self._panel.session
        if session.shown is not None and session.shown.is_training:
            self._panel.tell("Not opened", "A run is being trained; this page shows it until it has ended.")
            return
        names = [run.name for run in listed_runs(session.out) if run.can_be_opened]
        if self._run.value not in names or leads_out(session.out / self._run.value):
            self._panel.tell("Not opened", "There is no such run here.")
            return
        try:
            run = Run.load(session.out / self._run.value, device=session.device)
        except UserError as error:
            self._panel.tell("Not opened", str(error))
            return
        session.show(run)
