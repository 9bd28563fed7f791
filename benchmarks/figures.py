"""All figures of one trained object: what it is taken for, and how its shape agrees with the canonical one."""

import dataclasses
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Bool
from torch import Tensor

from benchmarks.canonical import canonical_silhouettes, canonical_solid
from benchmarks.shape_agreement import Alignment, best_alignment, overlap, overlap_at
from benchmarks.solids import Solid, solid_of
from benchmarks.toy_prompts import ToyPrompt
from benchmarks.verdicts import Votes, judge_object, judged_pictures
from core.errors import UserError
from core.files import write_json
from core.kinds import DensityField
from core.types import Cameras
from geometry.isosurface import density_volume, find_threshold
from systems.base import LightningSystem
from systems.contact_sheet import save_png, tiled
from systems.views.orbit import CameraRanges, cameras_everywhere
from toybox.world import load_world

RESOLUTION = 128  # points of the density grid along each axis
N_THRESHOLD_VIEWS = 12
N_SILHOUETTES = 24
OPAQUE = 0.5


@dataclass(frozen=True)
class Figures:
    """What was measured of one trained object. An empty one has no threshold and agrees with nothing."""

    seconds: float
    """From the command to its end, training alone."""
    threshold: float | None
    iou: float
    iou_unaligned: float
    scale: float
    shift: list[float]
    silhouette_iou: float
    silhouette_iou_unaligned: float
    votes: Votes

    @property
    def empty(self) -> bool:
        """No ray ever becomes opaque."""
        return self.threshold is None


def measure(system: LightningSystem, prompt: ToyPrompt, seconds: float, folder: Path) -> Figures:
    """Measure a trained system; its judged views go to views.png, then the figures to measured.json."""
    kind = prompt.subject.kind
    pictures = judged_pictures(system)
    save_png(folder / "views.png", tiled([list(pictures)]))
    reference = canonical_solid(kind)
    threshold, ours = trained_solid(system)
    place = best_alignment(reference, ours) if ours is not None else Alignment(0.0)
    figures = Figures(
        seconds=seconds,
        threshold=threshold,
        iou=place.iou,
        iou_unaligned=overlap_at(reference, ours) if ours is not None else 0.0,
        scale=place.scale,
        shift=list(place.shift),
        silhouette_iou=silhouette_agreement(system, kind, place),
        silhouette_iou_unaligned=silhouette_agreement(system, kind, Alignment(0.0)),
        votes=judge_object(prompt, pictures),
    )
    write_json(folder / "measured.json", asdict(figures))
    return figures


def read_figures(folder: Path) -> Figures | None:
    """What was measured before; None where nothing was, or other figures than these."""
    try:
        content = json.loads((folder / "measured.json").read_text())
        return Figures(**{**content, "votes": Votes(**content["votes"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def trained_solid(system: LightningSystem) -> tuple[float | None, Solid | None]:
    """The surface's density, found from what rays see, and the solid that lies within; None where all is clear.

    Raises:
        UserError: the geometry is no density field.
    """
    field = system.geometry
    if not isinstance(field, DensityField):
        raise UserError(f"this benchmark measures density fields; '{field.part_name}' is none")
    cameras = system.surrounding_cameras(N_THRESHOLD_VIEWS, 2 * system.guidance.latent_size)
    opacity = system.render(cameras).opacity
    if not bool((opacity > OPAQUE).any()):
        return None, None
    volume = density_volume(field, RESOLUTION)
    threshold = find_threshold(volume, field.bound, cameras, opacity)
    return threshold, solid_of((volume > threshold).numpy(), field.bound)


def silhouette_agreement(system: LightningSystem, kind: str, place: Alignment) -> float:
    """Mean overlap of rendered and canonical silhouettes over views from all sides, ours moved to `place`."""
    ranges = load_world().cameras
    everywhere = CameraRanges(ranges["elevation_deg"], ranges["radius"], ranges["fovy_deg"])
    cameras = cameras_everywhere(everywhere, N_SILHOUETTES, 2 * system.guidance.latent_size)
    seen = system.render(moved_cameras(cameras, place)).opacity.cpu() > OPAQUE
    return mean_overlap(canonical_silhouettes(kind, cameras), seen)


def mean_overlap(true: Bool[Tensor, "views rows columns"], seen: Bool[Tensor, "views rows columns"]) -> float:
    """Mean over views of intersection over union."""
    shares = [overlap(*both) for both in zip(true, seen, strict=True)]
    return math.fsum(shares) / len(shares)


def moved_cameras(cameras: Cameras, place: Alignment) -> Cameras:
    """Cameras that see an object where it lies as `cameras` would see it moved: scale x position + shift."""
    c2w = cameras.c2w.clone()
    c2w[:, :3, 3] = (c2w[:, :3, 3] - torch.tensor(place.shift)) / place.scale
    return dataclasses.replace(cameras, c2w=c2w)
