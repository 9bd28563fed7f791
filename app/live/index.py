"""The runs of a folder as a live list, and the one that a visitor opens."""

import time
from dataclasses import dataclass
from pathlib import Path

from app.live.panel import Panel
from app.live.strangers import is_inside, leads_out, plain_markdown
from app.run import Run
from app.run_folder import read_prompt
from core.errors import UserError

#: Runs that are listed, the newest first.
MOST_LISTED = 50
#: The list is brought up to date so often, in seconds.
EVERY_S = 3.0


@dataclass(frozen=True)
class Listed:
    """One run of a folder."""

    name: str
    prompt: str
    written: float
    """When its newest checkpoint, or else the folder, was written; seconds since 1970."""
    can_be_opened: bool
    """Whether there is a checkpoint."""


def listed_runs(folder: Path) -> list[Listed]:
    """The runs in a folder, newest first. What leads out of the folder (links) is no run of it."""
    found: list[Listed] = []
    for path in folder.iterdir() if folder.is_dir() else []:
        files = (path / "recipe.yaml", path / "prompt.txt", path / "checkpoints")
        if not files[0].is_file() or not all(is_inside(file, folder) for file in files) or path.is_symlink():
            continue
        checkpoints = [file for file in files[2].glob("*.ckpt") if not file.name.startswith(".")]
        written = max(file.stat().st_mtime for file in [*checkpoints, path])
        found.append(Listed(path.name, read_prompt(path), written, bool(checkpoints)))
    return sorted(found, key=lambda run: -run.written)[:MOST_LISTED]


def table(runs: list[Listed], now: float) -> str:
    """The list in Markdown."""
    if not runs:
        return "No runs yet."
    lines = ["| run | prompt | written |", "|---|---|---|"]
    for run in runs:
        ago = max(0, int(now - run.written))
        when = f"{ago} s ago" if ago < 120 else f"{ago // 60} min ago" if ago < 7200 else f"{ago // 3600} h ago"
        lines.append(f"| {plain_markdown(run.name)} | {plain_markdown(run.prompt)} | {when} |")
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
            self._next = time.monotonic() + EVERY_S
            self._runs = listed_runs(self.folder)
        return self._runs


class Index:
    """The list in one visitor's panel, and a choice of what to look at."""

    def __init__(self, panel: Panel, listing: Listing) -> None:
        self._panel, self._listing = panel, listing
        with panel.gui.add_folder("Runs"):
            self._list = panel.gui.add_markdown("")
            self._run = panel.steering(panel.gui.add_dropdown("Run", ["(none)"]))
            panel.button("Open", "Show a trained run", lambda: panel.session.controls.ask(self._show))
        panel.visitor.tick = self.fill

    def fill(self) -> None:
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
