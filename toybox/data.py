"""The training set: geometry buffers on disk, painted anew for every batch.

Batches are functions of (seed, step) alone, so that a resumed training sees what an uninterrupted one sees.
"""

import functools
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from toybox.buffers import SUPERSAMPLING, Caster, View, random_view
from toybox.captions import Subject, draw_subject
from toybox.checkpoint import save_json
from toybox.scenes import build
from toybox.shading import paint, training_light
from toybox.world import load_world

MOST_PARTS = 32  # no object has more


@dataclass(frozen=True)
class Batch:
    """Pictures and their ground truth.

    Attributes:
        pictures: [batch, 3, size, size] in 0..1.
        coverage: share of each pixel that the object covers, [batch, 1, size, size].
        backgrounds: [batch, 3].
        subjects, views: one each per picture.
    """

    pictures: Tensor
    coverage: Tensor
    backgrounds: Tensor
    subjects: tuple[Subject, ...]
    views: tuple[View, ...]

    def to(self, device: str) -> "Batch":
        """The same with its tensors on `device`."""
        moved = {name: getattr(self, name).to(device) for name in ("pictures", "coverage", "backgrounds")}
        return replace(self, **moved)

    def rows(self, chosen: slice) -> "Batch":
        """Some of its pictures."""
        return Batch(*(getattr(self, field.name)[chosen] for field in fields(self)))


class ViewSource(ABC):
    """Where views of every kind come from."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Every kind of the world."""
        return tuple(load_world().kinds)

    @abstractmethod
    def pick(self, rng: np.random.Generator, kind: str, size: int) -> tuple[np.ndarray, np.ndarray, View]:
        """Part indices [fine, fine], normals [fine, fine, 3] and the view of this kind, at random.

        Args:
            size: side in pixels of the picture that is wanted; `fine` is at least SUPERSAMPLING times that.
        """

    def draw(self, rng: np.random.Generator, count: int, size: int) -> Batch:
        """`count` training pictures of random kinds, views, backgrounds and seen colours, `size` pixels a side."""
        kinds = [self.kinds[i] for i in rng.integers(len(self.kinds), size=count)]
        subjects = tuple(draw_subject(rng, kind) for kind in kinds)
        picked = [self.pick(rng, kind, size) for kind in kinds]
        buffers = [(parts, normals) for parts, normals, _ in picked]
        light = training_light(count, torch.Generator().manual_seed(int(rng.integers(2**62))))
        pictures, coverage, backgrounds = paint_subjects(buffers, subjects, rng, light)
        return Batch(pictures, coverage, backgrounds, subjects, tuple(view for _, _, view in picked))


class FreshViews(ViewSource):
    """Views made for each pick: drawn from the world's range of cameras, and cast."""

    def pick(self, rng: np.random.Generator, kind: str, size: int) -> tuple[np.ndarray, np.ndarray, View]:
        """A view drawn by `rng`, cast at SUPERSAMPLING sub-pixels per pixel and axis."""
        view = random_view(rng)
        return *caster_of(kind).cast(view, size * SUPERSAMPLING), view


@functools.cache
def caster_of(kind: str) -> Caster:
    """Rays at the canonical object of this kind."""
    return Caster(build(kind))


class BufferStore(ViewSource):
    """Geometry buffers of every kind, memory-mapped from `folder`.

    Args:
        folder: where `render_buffers` has put them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._parts, self._normals = (
            {kind: np.load(folder / f"{kind}.{what}.npy", mmap_mode="r") for kind in self.kinds}
            for what in ("parts", "normals")
        )
        self._views = {kind: np.load(folder / f"{kind}.views.npy") for kind in self.kinds}

    def __reduce__(self) -> tuple:
        """Another process maps the same files, instead of being sent gigabytes."""
        return BufferStore, (self.folder,)

    def pick(self, rng: np.random.Generator, kind: str, size: int) -> tuple[np.ndarray, np.ndarray, View]:
        """A buffer that is kept; sub-pixels that the picture does not need are skipped."""
        index = int(rng.integers(len(self._views[kind])))
        parts, normals = self._parts[kind][index], self._normals[kind][index]
        skip = parts.shape[0] // (size * SUPERSAMPLING)
        return parts[::skip, ::skip], normals[::skip, ::skip], View(*self._views[kind][index].tolist())


def paint_subjects(
    buffers: Sequence[tuple[np.ndarray, np.ndarray]],
    subjects: Sequence[Subject],
    rng: np.random.Generator,
    light: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Buffers in the colours of their subjects on random backgrounds of the world.

    Args:
        buffers: part indices [fine, fine] and normals [fine, fine, 3] each.
        light: unit vectors toward the lamp, [batch, 3].

    Returns:
        Pictures [batch, 3, size, size], coverage [batch, 1, size, size], size = fine / SUPERSAMPLING, backgrounds
        [batch, 3].
    """
    palette = np.array(list(load_world().backgrounds.values()), dtype=np.float32)
    backgrounds = torch.from_numpy(palette[rng.integers(len(palette), size=len(subjects))])
    parts = torch.from_numpy(np.stack([parts for parts, _ in buffers]))
    normals = torch.from_numpy(np.stack([normals for _, normals in buffers]))
    pictures, coverage = paint(parts, normals, part_colours(subjects), backgrounds, light)
    return pictures, coverage, backgrounds


def part_colours(subjects: Sequence[Subject]) -> Tensor:
    """RGB of each subject's parts, [subjects, MOST_PARTS, 3] in 0..1; zeros beyond its last part."""
    colours = np.zeros((len(subjects), MOST_PARTS, 3), dtype=np.float32)
    for row, subject in enumerate(subjects):
        table = build(subject.kind).part_colours(subject.main, subject.second)
        colours[row, : len(table)] = table
    return torch.from_numpy(colours)


def repaint(batch: Batch, backgrounds: Tensor) -> Tensor:
    """The batch's pictures on other backgrounds [batch, 3]: exact, because a pixel mixes linearly by coverage."""
    return batch.pictures + (1 - batch.coverage) * (backgrounds - batch.backgrounds)[:, :, None, None]


def render_buffers(folder: Path, views_per_kind: int, size: int, seed: int) -> None:
    """Ray-casts every kind into `folder`; kinds that are already there are kept.

    Args:
        size: side of the pictures in pixels; SUPERSAMPLING times as many sub-pixels are stored.

    Raises:
        ValueError: `folder` holds buffers of other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    band = load_world().cameras["elevation_deg"]
    settings = {"views_per_kind": views_per_kind, "size": size, "seed": seed, "elevation_deg": list(band)}
    note_settings(folder, settings)
    for number, kind in enumerate(tqdm(load_world().kinds, desc="data: ray casting", unit="kind")):
        if (folder / f"{kind}.views.npy").exists():
            continue
        rng = np.random.default_rng((seed, number))
        views = [random_view(rng) for _ in range(views_per_kind)]
        cast = [caster_of(kind).cast(view, size * SUPERSAMPLING) for view in views]
        save_array(folder / f"{kind}.parts.npy", np.stack([parts for parts, _ in cast]))
        save_array(folder / f"{kind}.normals.npy", np.stack([normals for _, normals in cast]))
        numbers = [(v.elevation_deg, v.azimuth_deg, v.radius, v.fovy_deg) for v in views]
        save_array(folder / f"{kind}.views.npy", np.array(numbers))  # last: its presence says that the kind is whole


def note_settings(folder: Path, settings: dict) -> None:
    """Notes in `folder` what its buffers are made with: the model card would be wrong of buffers made otherwise.

    Raises:
        ValueError: it holds buffers of other settings, or of unknown ones.
    """
    path = folder / "settings.json"
    if not path.exists():
        if any(folder.glob("*.views.npy")):
            raise ValueError(f"{folder}: buffers of unknown settings, without {path.name}: delete it, or change --work")
        save_json(path, settings)
    held = json.loads(path.read_text())
    other = ", ".join(
        f"{name} {held.get(name)} instead of {value}" for name, value in settings.items() if held.get(name) != value
    )
    if other:
        raise ValueError(f"{folder}: buffers of other settings ({other}): ask for these, delete it, or change --work")


def save_array(path: Path, array: np.ndarray) -> None:
    """Writes a .npy file whole or not at all."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.save(file, array)
    os.replace(partial, path)
