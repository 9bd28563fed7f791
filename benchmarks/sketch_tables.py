"""Sketch tables against the exact query, how long they take to make, and what the shape loss costs in a step."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import trimesh

from benchmarks.machine import ROOT
from benchmarks.speed import OCCUPANCY_STEP, Stopwatch, Training, take_step
from core.chance import stream
from core.kinds import TrainingStep
from geometry.mesh import Mesh
from geometry.placement import Placement, placed
from geometry.sketch import Sketch, load_sketch_mesh, read_sketch
from geometry.sketch_tables import exact_distance, exact_occupancy
from sketches.build import SKETCHES
from systems.losses.sketch import distance_weight
from systems.losses.sketch_shape import SketchShapeLoss, shape_loss
from systems.sketch_shape import SketchShape

HALF = 0.6  # the toybox field's bound
N_POINTS = 100_000
REMOVED = 0.1
ROUNDS = 5
MOST_CORES = 2


@dataclass(frozen=True)
class TableAgreement:
    """A sketch's tables against the exact query at random points of their cube."""

    name: str
    occupancy: float
    """Share of the points on which both agree."""
    distance_cells: float
    """Largest error of the distance, in cells."""
    inside: float
    """Share of the points that lie inside."""


def table_agreement(quick: bool) -> list[TableAgreement]:
    """All sketches, and the figure with a tenth of its faces removed."""
    meshes = {name: _sketch_mesh(name) for name in (list(SKETCHES)[:2] if quick else SKETCHES)}
    figure = meshes["figure"]
    kept = np.random.default_rng(0).permutation(len(figure.faces))[round(REMOVED * len(figure.faces)) :]
    meshes["figure, a tenth of its faces removed"] = Mesh(figure.vertices, figure.faces[kept])
    return [_agreement(name, mesh, N_POINTS // 10 if quick else N_POINTS) for name, mesh in meshes.items()]


def _sketch_mesh(name: str) -> Mesh:
    mesh = load_sketch_mesh(ROOT / "sketches" / f"{name}.obj")
    return placed(mesh, Placement(scale=0.5).matrix(mesh))


def _agreement(name: str, mesh: Mesh, n_points: int) -> TableAgreement:
    sketch = Sketch(mesh, np.eye(4), HALF)
    # float32, as the field has its samples: both sides are asked at the same places.
    points = np.random.default_rng(1).uniform(-HALF, HALF, (n_points, 3)).astype(np.float32).astype(np.float64)
    reading = sketch(torch.from_numpy(points).float())
    inside = exact_occupancy(mesh, points)
    error = np.abs(reading.distance.numpy() - exact_distance(mesh, points)).max()
    agree = float((reading.occupied.numpy() == inside).mean())
    return TableAgreement(name, agree, float(error) / sketch.cell, float(inside.mean()))


def time_tables(quick: bool) -> dict[str, float]:
    """Seconds until the sketch of a mesh of about 50,000 faces is there, on two cores and with an empty cache.

    All that `read_sketch` does counts, as for a user: by the clock (`seconds`), and of all cores (`cpu_seconds`).
    """
    n = 40 if quick else 158  # around and along: 2 n^2 faces
    torus = trimesh.creation.torus(0.5, 0.2, major_sections=n, minor_sections=n)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "torus.ply"
        torus.export(path)
        with _cache_in(folder), _on_cores(MOST_CORES) as n_cores:
            wall, cpu = time.perf_counter(), time.process_time()
            sketch = read_sketch(path, Placement(scale=0.5), HALF)
            seconds = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    return {"faces": float(len(sketch.mesh.faces)), "cores": float(n_cores), **seconds}


@contextmanager
def _cache_in(folder: str) -> Iterator[None]:
    """Tables are kept in this folder instead of the user's cache."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = folder
    try:
        yield
    finally:
        if before is None:
            del os.environ["XDG_CACHE_HOME"]
        else:
            os.environ["XDG_CACHE_HOME"] = before


@contextmanager
def _on_cores(n_most: int) -> Iterator[int]:
    """So many cores at most for this thread and those that it starts, and how many that are.

    libigl starts threads of its own, which no setting of torch's or OpenMP's reaches.
    """
    if not hasattr(os, "sched_setaffinity"):  # Linux has it
        yield os.cpu_count() or 1
        return
    before = os.sched_getaffinity(0)
    kept = set(sorted(before)[:n_most])
    os.sched_setaffinity(0, kept)
    try:
        yield len(kept)
    finally:
        os.sched_setaffinity(0, before)


def loss_cost(system: SketchShape, step: int) -> dict[str, float]:
    """What the shape loss costs on the samples of a step: CPU-milliseconds, medians of some rounds.

    Beside them stand the whole step, and libigl asked for the same points, as the published code does.
    """
    training, watch = Training.of(system), Stopwatch(system.device.type)
    if step > OCCUPANCY_STEP:
        take_step(training, OCCUPANCY_STEP, watch)
    take_step(training, step, watch)  # the first step loads libraries and fills caches
    now, loss_part = _step(system, step), shape_loss_of(system)
    assert now.render.samples is not None
    density = now.render.samples.density.detach().requires_grad_()
    now = replace(now, render=replace(now.render, samples=replace(now.render.samples, density=density)))
    positions = loss_part.samples(now).positions

    def alone() -> None:
        torch.autograd.grad(loss_part(now), density)

    def libigl() -> None:
        points = positions.double().cpu().numpy()
        exact_occupancy(loss_part.sketch.mesh, points)
        exact_distance(loss_part.sketch.mesh, points)

    whole = cpu_milliseconds(lambda: take_step(training, step, watch))
    loss = cpu_milliseconds(alone)
    return {
        "step": float(step),
        "samples": float(len(density)),
        "samples_looked_at": float(len(positions)),
        "step_ms": whole,
        "loss_ms": loss,
        "share": loss / whole,
        "libigl_ms": cpu_milliseconds(libigl, rounds=1),
    }


def lenient_share(system: SketchShape, lenience: float = 1e3, strict: float = 0.05) -> dict[str, float]:
    """Shape loss and its gradient's norm at a boundless lenience over those at a strict one, on a step's samples."""
    samples = _step(system, 0).render.samples
    assert samples is not None
    reading = shape_loss_of(system).sketch(samples.positions)
    density = samples.density.detach().requires_grad_()

    def both(sigma: float) -> tuple[float, float]:
        loss = shape_loss(density, reading.occupied, distance_weight(reading.distance, sigma), 0.2)
        (gradient,) = torch.autograd.grad(loss, density)
        return loss.item(), float(gradient.norm())

    (loss, gradient), (strict_loss, strict_gradient) = both(lenience), both(strict)
    return {"loss": loss / strict_loss, "gradient": gradient / strict_gradient}


def shape_loss_of(system: SketchShape) -> SketchShapeLoss:
    """The one loss of a system that follows a sketch's shape."""
    (found,) = (loss for loss in system.losses.parts() if isinstance(loss, SketchShapeLoss))
    return found


def _step(system: SketchShape, step: int) -> TrainingStep:
    """What losses see of a step, without gradient."""
    rng = stream(system.seed, "training", step, system.device)
    cameras = system.views.draw(system.guidance.latent_size, step, system.total_steps, rng)
    with torch.no_grad():
        render = system.renderer(system.geometry, system.background, cameras, rng)
    return TrainingStep(render, cameras, system.geometry, system.renderer, step, system.total_steps, rng)


def cpu_milliseconds(action: Callable[[], Any], rounds: int = ROUNDS) -> float:
    """Of all threads together, which other programs on the machine stretch less than the clock's."""
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        action()
        taken.append(1e3 * (time.process_time() - start))
    return median(taken)


def plain(found: list[TableAgreement]) -> list[dict[str, Any]]:
    """For JSON."""
    return [asdict(one) for one in found]
