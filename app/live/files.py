"""The part of a visitor's panel that makes files: exports to download, snapshots, and the mesh to look at."""

import io
import os
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from app.live.panel import Panel
from app.run import write_files
from core.errors import UserError
from systems.contact_sheet import save_png

ALL = "all of them"


class Files:
    """What a visitor takes along."""

    def __init__(self, panel: Panel) -> None:
        self._panel, ask = panel, panel.session.controls.ask
        self._folder = panel.gui.add_folder("Files", visible=False)
        with self._folder:
            hint = "What you see now, in full, also kept in the run's previews"
            panel.button("Snapshot", hint, lambda: ask(self.snapshot))
            self._what = panel.gui.add_dropdown("Exporter", [ALL], hint="What the recipe makes of a trained object")
            panel.button("Export and download", "The training waits meanwhile", lambda: ask(self.export))

    def fill(self) -> None:
        """Offer what the run on the page can make; in the training's thread."""
        shown = self._panel.session.shown
        names = [choice.part.part_name for choice in shown.run.recipe.exporters] if shown else []
        self._folder.visible = shown is not None
        self._what.options = [*sorted(names, key=lambda name: "mesh" not in name), ALL]

    def snapshot(self) -> None:
        """Draw what the visitor sees in full, keep it among the run's previews, and send it; between two steps."""
        shown, visitor = self._panel.session.shown, self._panel.visitor
        pose = visitor.pose()
        if shown is None or pose is None:
            return
        kind = "colour" if visitor.kind == "mesh" else visitor.kind
        picture = shown.painter.draw(pose, kind, is_small=False).rgb
        path = _unused(shown.run.folder / "previews" / f"view-{shown.step:06d}.png")
        self._panel.send(*packed([save_png(path, picture)]))

    def export(self) -> None:
        """Let an exporter of the recipe write its files, and send them; between two steps."""
        session = self._panel.session
        if session.shown is None:
            return
        run, wanted = replace(session.shown.run, step=session.shown.step), self._what.value
        choices = [choice for choice in run.recipe.exporters if wanted in (ALL, choice.part.part_name)]
        export = partial(write_files, run) if session.shown.is_training else run.export  # it is locked for a training
        try:
            files = export(choices, session)
        except UserError as error:
            self._panel.tell("Not exported", str(error))
            return
        if files:
            self._panel.send(*packed(files))


def packed(files: Sequence[Path]) -> tuple[str, bytes]:
    """A name and a content to download: the file itself, or several as a ZIP archive, in their folders."""
    if len(files) == 1:
        return files[0].name, files[0].read_bytes()
    archive, folder = io.BytesIO(), os.path.commonpath([file.parent for file in files])
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packing:
        for file in files:
            packing.write(file, file.relative_to(folder))
    return "files.zip", archive.getvalue()


def _unused(path: Path) -> Path:
    number, found = 1, path
    while found.exists():
        number += 1
        found = path.with_stem(f"{path.stem}-{number}")
    return found
