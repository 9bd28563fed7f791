"""Training data of the multi-view model: latents of four views of an object each, with their cameras.

Views are drawn anew for every set; a set is encoded once and kept, because a picture costs as much to make as to learn
from once, and it is learned from again with other noise.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from toybox.buffers import SUPERSAMPLING, View, random_view
from toybox.captions import Subject, draw_subject
from toybox.checkpoint import load_state, save_state
from toybox.data import caster_of, part_colours
from toybox.latents import AutoencoderKL, encode
from toybox.networks import DOWNSCALE
from toybox.shading import paint, training_light
from toybox.world import load_world

N_VIEWS = 4
SET_OBJECTS = 64
SET_PICTURES = SET_OBJECTS * N_VIEWS


@dataclass(frozen=True)
class ViewSet:
    """Objects, each from N_VIEWS cameras under one light on one background.

    Attributes:
        latents: [objects, N_VIEWS, 4, size, size].
        bare: share of each latent cell that the object leaves free, [objects, N_VIEWS, 1, size, size].
        background: its place in the world's backgrounds, [objects].
        cameras: elevation and azimuth in degrees, radius in world units, field of view in degrees,
            [objects, N_VIEWS, 4].
        subjects: one an object.
    """

    latents: Tensor
    bare: Tensor
    background: Tensor
    cameras: Tensor
    subjects: tuple[Subject, ...]

    def views(self) -> list[View]:
        """Every picture's view, object by object."""
        return [View(*numbers) for numbers in self.cameras.flatten(0, 1).tolist()]

    def chosen(self, objects: Tensor, views: Tensor) -> "ViewSet":
        """Some views [count, n] of some objects [count]."""
        rows = objects[:, None]
        subjects = tuple(self.subjects[i] for i in objects.tolist())
        latents, bare, cameras = (part[rows, views] for part in (self.latents, self.bare, self.cameras))
        return ViewSet(latents, bare, self.background[objects], cameras, subjects)


def joined(sets: list[ViewSet]) -> ViewSet:
    """All objects of these sets in one."""
    names = ("latents", "bare", "background", "cameras")
    parts = {name: torch.cat([getattr(part, name) for part in sets]) for name in names}
    return ViewSet(**parts, subjects=tuple(subject for part in sets for subject in part.subjects))


class ViewSets:
    """Sets number 0, 1, 2 ... in `folder`: the same whoever makes them, and whenever.

    Args:
        size: side of the latents.
        seed: of every draw; sets of other seeds share no picture.
    """

    def __init__(self, folder: Path, vae: AutoencoderKL, size: int, seed: int) -> None:
        self._folder = folder / f"views-{size}-{seed}"
        self._vae = vae
        self._size = size
        self._seed = seed

    def make(self, number: int) -> None:
        """Makes and keeps this set, where that has not been done."""
        if not self._path(number).exists():
            save_state(self._path(number), self._made(number))

    def get(self, number: int) -> ViewSet:
        """This set, made where it has to be."""
        self.make(number)
        kept = load_state(self._path(number))
        assert kept
        subjects = tuple(Subject(kind, main, second or None) for kind, main, second in kept["subjects"])
        latents, bare = (kept[name].float() for name in ("latents", "bare"))
        return ViewSet(latents, bare, kept["background"], kept["cameras"], subjects)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:05d}.pt"

    def _made(self, number: int) -> dict:
        rng = np.random.default_rng((self._seed, number))
        kinds = [str(kind) for kind in rng.choice(list(load_world().kinds), size=SET_OBJECTS)]
        subjects = [draw_subject(rng, kind) for kind in kinds]
        background = torch.from_numpy(rng.integers(len(load_world().backgrounds), size=SET_OBJECTS))
        light = training_light(SET_OBJECTS, torch.Generator().manual_seed(int(rng.integers(2**62))))
        views = [[random_view(rng) for _ in range(N_VIEWS)] for _ in range(SET_OBJECTS)]
        latents, bare = zip(*self._encoded(subjects, background, light, views), strict=True)
        return {
            "latents": torch.stack(latents).half(),
            "bare": torch.stack(bare).half(),
            "background": background,
            "cameras": torch.tensor(
                [[(v.elevation_deg, v.azimuth_deg, v.radius, v.fovy_deg) for v in seen] for seen in views]
            ),
            "subjects": [(subject.kind, subject.main, subject.second or "") for subject in subjects],
        }

    @torch.no_grad()
    def _encoded(
        self, subjects: list[Subject], background: Tensor, light: Tensor, views: list[list[View]]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Latents and bare shares of each object's views."""
        palette = torch.tensor(list(load_world().backgrounds.values()))
        fine = self._size * DOWNSCALE * SUPERSAMPLING
        for row, (subject, seen) in enumerate(zip(subjects, views, strict=True)):
            cast = [caster_of(subject.kind).cast(view, fine) for view in seen]
            parts, normals = (torch.from_numpy(np.stack(arrays)) for arrays in zip(*cast, strict=True))
            colours = part_colours([subject]).expand(len(seen), -1, -1)
            flat = palette[background[row]].expand(len(seen), -1)
            pictures, coverage = paint(parts, normals, colours, flat, light[row].expand(len(seen), -1))
            yield encode(self._vae, pictures), 1 - F.avg_pool2d(coverage, DOWNSCALE)
