"""One painting and all that is measured of it: views judged, files read again, beside its beginning."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.api import untrained_system
from benchmarks.paint_seams import seamless
from benchmarks.painted_files import PaintedFile, TextureFigures, geometry_fault
from benchmarks.part_colours import PartColours, part_colours
from benchmarks.runs import BenchmarkRun, load_trained
from benchmarks.toy_prompts import ToyPrompt
from benchmarks.verdicts import judge_object, judged_cameras, judged_pictures
from core.part import Choice
from exporters.painted_mesh import PaintedMesh
from exporters.seams import SeamGaps
from geometry.textured_mesh import TexturedMesh
from systems.base import LightningSystem
from systems.contact_sheet import save_png, tiled


@dataclass(frozen=True)
class Painting:
    """All figures of one painting."""

    prompt: str
    seconds: float
    """Wall-clock time of the whole command."""
    colour_votes: int
    """Views, of eight, on which the judge names the right colour."""
    first_colour_votes: int
    """`colour_votes` before the first step."""
    parts: PartColours
    """Measured on the decoded views that the judge sees."""
    first_parts: PartColours
    baked: TextureFigures
    """The file whose texture is baked from decoded views."""
    atlas: TextureFigures
    """The file whose texture is the latent atlas decoded as one picture, as in the paper."""
    atlas_shift: float
    """Mean distance between the colours of the two, in RGB of [0, 1], where eight views see the mesh."""
    geometry_fault: str | None
    """What writing the files has changed in the mesh's geometry; None where nothing."""

    @property
    def colour_right(self) -> bool:
        """Whether the judge names the right colour on the majority of views."""
        return 2 * self.colour_votes > 8

    @property
    def seamless(self) -> bool:
        """Whether its seams are small enough (benchmarks/paint_seams.py)."""
        return seamless(self.baked.seams)


def measure(run: BenchmarkRun, seconds: float, device: str) -> Painting:
    """Judge a trained painting and its beginning; views and files are kept in the run's folder."""
    system, subject = load_trained(run, device), run.prompt.subject
    surface = system.geometry
    assert isinstance(surface, TexturedMesh)
    votes, parts = look(system, run.prompt, run.folder / "views.png")
    first_votes, first_parts = look(_untrained(run, device), run.prompt, run.folder / "first.png")
    cameras = judged_cameras(system.guidance.picture_size)
    painted = exported(system, run.folder)
    baked, atlas = PaintedFile(painted), PaintedFile(exported(system, run.folder / "atlas", colours="atlas"))
    return Painting(
        prompt=run.prompt.text,
        seconds=seconds,
        colour_votes=votes,
        first_colour_votes=first_votes,
        parts=parts,
        first_parts=first_parts,
        baked=baked.figures(subject, cameras),
        atlas=atlas.figures(subject, cameras),
        atlas_shift=baked.distance(atlas, cameras),
        geometry_fault=geometry_fault(surface.mesh.file.path, painted) or _second_fault(run, painted, device),
    )


def look(system: LightningSystem, prompt: ToyPrompt, sheet: Path) -> tuple[int, PartColours]:
    """In how many of eight views the judge names the colour, and the colours of parts; the views go to `sheet`."""
    pictures = judged_pictures(system)
    save_png(sheet, tiled([list(pictures)]))
    cameras = judged_cameras(pictures.shape[1])
    return judge_object(prompt, pictures).colour, part_colours(prompt.subject, cameras, pictures)


def exported(system: LightningSystem, folder: Path, **settings: Any) -> Path:
    """The painted mesh as a file of the format in which it came."""
    folder.mkdir(parents=True, exist_ok=True)
    return Choice.of(PaintedMesh, **settings).build().export(system, folder)[0]


def read_painting(note: Path) -> Painting | None:
    """What was measured before; None where nothing was, or other figures than these."""
    try:
        known = json.loads(note.read_text())
        parts = {name: PartColours(**known[name]) for name in ("parts", "first_parts")}
        textures = {
            name: TextureFigures(PartColours(**known[name]["parts"]), SeamGaps(**known[name]["seams"]))
            for name in ("baked", "atlas")
        }
        return Painting(**{**known, **parts, **textures})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _untrained(run: BenchmarkRun, device: str, *settings: str) -> LightningSystem:
    """The same system before its first step, with some settings changed; nothing is drawn ahead for its training."""
    overrides = [*run.overrides, *settings]
    return untrained_system(run.config, run.prompt.text, overrides=overrides, device=device)


def _second_fault(run: BenchmarkRun, painted: Path, device: str) -> str | None:
    """What painting the painted file would change of it: now the mesh has texture coordinates of its own."""
    again = _untrained(run, device, f"system.geometry.path={painted.resolve()}")
    written = exported(again, run.folder / "again", texture_size=16, n_photographs=1)
    fault = geometry_fault(painted, written)
    return fault and f"painted again: {fault}"
