"""The toy world's own objects as the truth: solids, silhouettes, pictures in training light."""

import functools
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from PIL import Image
from torch import Tensor

from benchmarks.solids import Solid, inside_closed_mesh, solid_of
from core.files import write_json
from core.types import Cameras
from toybox.buffers import EMPTY, SUPERSAMPLING, Caster, View, random_view
from toybox.captions import Subject
from toybox.scenes import build
from toybox.shading import paint, training_light
from toybox.world import load_world

PADDING = 1.05  # the cube that shapes are compared in, over the object's own bounding cube
RESOLUTION = 160  # points along each axis: a thin part of 0.03 is three points thick
N_PICTURES = 60


@functools.cache
def canonical_solid(kind: str) -> Solid:
    """An object of the toy world as a solid, in its own padded cube."""
    scene = build(kind)
    half = PADDING * float(np.ptp(scene.mesh.vertices, axis=0).max()) / 2
    occupied = np.zeros((RESOLUTION,) * 3, dtype=bool)
    for part in scene.parts:  # each is closed by itself, and they overlap
        occupied |= inside_closed_mesh(np.asarray(part.mesh.triangles), half, RESOLUTION)
    return solid_of(occupied, half)


def canonical_silhouettes(kind: str, cameras: Cameras) -> Bool[Tensor, "views size size"]:
    """Which pixels' central rays meet the object."""
    caster = _caster(kind)
    cast = [caster.cast(view, cameras.height)[0] for view in toy_views(cameras)]
    return torch.from_numpy(np.stack(cast) != EMPTY)


def toy_views(cameras: Cameras) -> list[View]:
    """Orbit cameras in the toy world's words."""
    distance = cameras.c2w[:, :3, 3].norm(dim=-1)
    numbers = torch.stack([cameras.elevation_deg, cameras.azimuth_deg, distance, cameras.fovy_deg], dim=-1)
    return [View(*row) for row in numbers.tolist()]


def canonical_views(
    subject: Subject, cameras: Cameras, background: str = "grey"
) -> tuple[Float[Tensor, "views size size 3"], Int[Tensor, "views size size"]]:
    """The object in training light, and which part each pixel's centre shows, -1 for none."""
    caster, views, size = _caster(subject.kind), toy_views(cameras), cameras.height
    fine = [caster.cast(view, SUPERSAMPLING * size) for view in views]
    pictures, _ = paint(
        torch.from_numpy(np.stack([parts for parts, _ in fine])),
        torch.from_numpy(np.stack([normals for _, normals in fine])),
        torch.from_numpy(build(subject.kind).part_colours(subject.main, subject.second)).expand(len(views), -1, -1),
        torch.tensor(load_world().backgrounds[background]).expand(len(views), 3),
        training_light(len(views)),
    )
    seen = torch.from_numpy(np.stack([caster.cast(view, size)[0] for view in views])).long()
    return pictures.movedim(1, -1), torch.where(seen == EMPTY, -1, seen)


def write_pictures(folder: Path, subject: Subject, size: int, n_pictures: int = N_PICTURES) -> Path:
    """A folder of pictures for `target-image` guidance: the object in training light, from all its views, cut out.

    A folder that is whole already is left alone (`cameras.json` comes last).

    Args:
        size: rows and columns in pixels.
    """
    index = folder / "cameras.json"
    if index.is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    world = load_world()
    rng = np.random.default_rng(list(world.kinds).index(subject.kind))
    views = [random_view(rng) for _ in range(n_pictures)]
    cast = [_caster(subject.kind).cast(view, SUPERSAMPLING * size) for view in views]
    pictures, covered = paint(
        torch.from_numpy(np.stack([parts for parts, _ in cast])),
        torch.from_numpy(np.stack([normals for _, normals in cast])),
        torch.from_numpy(build(subject.kind).part_colours(subject.main, subject.second)).expand(n_pictures, -1, -1),
        torch.zeros(n_pictures, 3),
        training_light(n_pictures),
    )
    cut_out = torch.cat([pictures / covered.clamp_min(1e-6), covered], dim=1)
    listed = []
    for number, (view, picture) in enumerate(zip(views, cut_out, strict=True)):
        name = f"{number:03d}.png"
        Image.fromarray((picture * 255).round().byte().permute(1, 2, 0).numpy()).save(folder / name)
        listed.append({"file": name, **vars(view)})
    write_json(index, listed)
    return folder


@functools.cache
def _caster(kind: str) -> Caster:
    return Caster(build(kind))
