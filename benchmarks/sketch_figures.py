"""Figures of one object that followed a sketch: how its solid agrees with the mesh, and what the judge takes it for."""

import json
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from benchmarks.figures import RESOLUTION, trained_solid
from benchmarks.machine import ROOT
from benchmarks.runs import BenchmarkRun, Trainings, load_trained
from benchmarks.shape_agreement import overlap
from benchmarks.sketch_cases import CONFORMITY, INFLUENCE, SketchCase, canonical_mesh
from benchmarks.sketch_tables import shape_loss_of
from benchmarks.solids import inside_closed_mesh, solid_of
from benchmarks.toy_prompts import ToyPrompt
from benchmarks.verdicts import Votes, judge_object, judged_pictures
from core.files import write_json
from geometry.mesh import Mesh
from geometry.placement import Placement, placed
from geometry.sketch import load_sketch_mesh
from systems.contact_sheet import save_png, tiled
from systems.sketch_shape import SketchShape
from toybox.scenes import build


@dataclass(frozen=True)
class SketchFigures:
    """What was measured of one trained object. An empty one has no threshold and agrees with nothing."""

    seconds: float
    threshold: float | None
    iou: float
    """IoU of its solid with the sketch's, at the automatic threshold, nothing moved or scaled."""
    iou_others: dict[str, float]
    """IoU with the other sketches of the same question, each placed as its own case places it."""
    iou_completed: float | None
    """IoU with the whole canonical object within the box that was to be completed."""
    iou_given: float | None
    """IoU with the whole canonical object outside of that box."""
    votes: Votes


def figures_of(
    case: SketchCase, run: BenchmarkRun, trainings: Trainings, device: str, measuring: threading.Lock
) -> SketchFigures:
    """Train and measure what has not been; what is measured is kept in measured.json.

    Args:
        measuring: held while something is measured, which no two threads may do at once.
    """
    kept = run.folder / "measured.json"
    known = read_figures(kept)
    if known is not None:
        return known
    seconds = trainings.train(run)
    with measuring:
        system = load_trained(run, device)
        assert isinstance(system, SketchShape)
        figures = measure(case, system, run.prompt, seconds, run.folder)
    write_json(kept, asdict(figures))
    return figures


def read_figures(note: Path) -> SketchFigures | None:
    """What was measured before; None where nothing was, or other figures than these."""
    try:
        content = json.loads(note.read_text())
        return SketchFigures(**{**content, "votes": Votes(**content["votes"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def measure(case: SketchCase, system: SketchShape, prompt: ToyPrompt, seconds: float, folder: Path) -> SketchFigures:
    """All figures of a trained system; its judged views go to views.png."""
    pictures = judged_pictures(system)
    save_png(folder / "views.png", tiled([list(pictures)]))
    threshold, solid = trained_solid(system)
    sketch = shape_loss_of(system).sketch
    half = sketch.half_side
    ours = torch.zeros((RESOLUTION,) * 3, dtype=torch.bool) if solid is None else solid.occupied
    completed = given = None
    if case.box is not None:
        whole = whole_object(case.subject.kind, half)
        box = box_points(case.box, half)
        completed, given = overlap(whole & box, ours & box), overlap(whole & ~box, ours & ~box)
    return SketchFigures(
        seconds=seconds,
        threshold=threshold,
        iou=overlap(mesh_solid(sketch.mesh, half), ours),
        iou_others={name: overlap(mesh_solid(other, half), ours) for name, other in other_sketches(case).items()},
        iou_completed=completed,
        iou_given=given,
        votes=judge_object(prompt, pictures),
    )


def mesh_solid(mesh: Mesh, half: float) -> Bool[Tensor, "n n n"]:
    """The solid of a closed mesh on the grid of `trained_solid`, by the parity of crossings: not the sketch's own
    tables."""
    return solid_of(inside_closed_mesh(mesh.vertices[mesh.faces], half, RESOLUTION), half).occupied


def whole_object(kind: str, half: float) -> Bool[Tensor, "n n n"]:
    """The canonical object's solid on the same grid."""
    occupied = np.zeros((RESOLUTION,) * 3, dtype=bool)
    for part in build(kind).parts:  # each is closed by itself, and they overlap
        occupied |= inside_closed_mesh(np.asarray(part.mesh.triangles), half, RESOLUTION)
    return solid_of(occupied, half).occupied


def box_points(box: tuple[tuple[float, ...], tuple[float, ...]], half: float) -> Bool[Tensor, "n n n"]:
    """Which points of the same grid lie in a box."""
    axis = torch.linspace(-half, half, RESOLUTION)
    points: Float[Tensor, "n n n 3"] = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)
    return ((points >= torch.tensor(box[0])) & (points <= torch.tensor(box[1]))).all(dim=-1)


def other_sketches(case: SketchCase) -> dict[str, Mesh]:
    """The meshes of the same question that this case was not given, each placed as its own case places it."""
    if case.question == "completion":
        return {}
    meshes = {}
    for name, subject in INFLUENCE if case.question == "influence" else CONFORMITY:
        if name == case.sketch:
            continue
        if name.startswith("canonical-"):
            whole = canonical_mesh(subject.kind)
            meshes[name] = Mesh(np.asarray(whole.vertices), np.asarray(whole.faces, dtype=np.int64))
        else:
            mesh = load_sketch_mesh(ROOT / "sketches" / f"{name}.obj")
            meshes[name] = placed(mesh, Placement(scale=0.5).matrix(mesh))
    return meshes
