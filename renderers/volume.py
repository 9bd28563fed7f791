"""`volume`: pictures of a density field by samples along rays.

Rays run through the field's ball in intervals of equal length, one sample in each. Samples in empty cells of the
occupancy grid are left out; the rest is *packed*: one list, ray after ray. The field sees that list front to back, a
few samples of each ray at a time, and rays that have become opaque drop out of the later chunks: what is hidden costs
nothing.

Source: Mildenhall et al., NeRF (arXiv:2003.08934), section 4; packing and early stop as in Instant-NGP
(arXiv:2201.05989).
"""

import math
from collections.abc import Callable, Set
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor

from core.cameras import camera_rays
from core.chance import uniform
from core.errors import UserError, require
from core.kinds import Background, DensityField, Extra, Geometry, Renderer
from core.memory import SAMPLE, recomputed, require_size
from core.part import names
from core.types import Cameras, FieldOutput, RaySamples, RenderOutput, TensorRecord
from renderers.compositing import over_background, ray_weights, seen_behind, sum_over_rays
from renderers.normals import outward_normals
from renderers.occupancy import OccupancyGrid
from renderers.packing import PackedSamples, pack
from renderers.sampling import ball_intervals

T = TypeVar("T")
# A sample that gives less than this to its ray shows no surface worth a normal.
FAINT_WEIGHT = 1e-3
# Fewer samples at once would save nothing, where memory is short.
FEWEST_AT_ONCE = 1024


@dataclass(frozen=True)
class RayColours(TensorRecord):
    """What rays show, one row per ray, and the samples it came from."""

    foreground: Float[Tensor, "rays channels"]
    opacity: Float[Tensor, "rays"]
    depth: Float[Tensor, "rays"]
    normals: Float[Tensor, "rays 3"] | None
    samples: RaySamples


class VolumeRenderer(Renderer, name="volume"):
    """Volume rendering of a density field, skipping empty space and what is hidden."""

    gives: ClassVar[Set[Extra]] = frozenset({"samples", "normals", "depth"})

    @dataclass(frozen=True)
    class Config:
        """Settings of the volume renderer."""

        samples_per_ray: int = 48
        """Samples across the diameter of the field's ball; shorter rays take fewer, equally dense ones."""
        samples_per_chunk: int = 16
        """Samples of a ray that the field sees before the renderer asks whether the ray is opaque."""
        early_stop: float = 1e-4
        """Share of light left at which a ray counts as opaque; 0 looks at every sample."""
        rays_per_chunk: int = 16384
        """Rays followed at once; bounds the memory of large pictures."""
        occupancy_resolution: int = 64
        """Cells of the occupancy grid along each axis."""
        occupancy_threshold: float = 0.002
        """Optical depth across a cell below which it is skipped."""
        occupancy_warmup_steps: int = 256
        """Steps of training during which nothing is skipped."""
        occupancy_refresh_every: int = 16
        """Steps of training between two looks at the field."""

        def __post_init__(self) -> None:
            for name in ("samples_per_chunk", "rays_per_chunk", "occupancy_refresh_every"):
                require(getattr(self, name) >= 1, f"{name}: at least 1, got {getattr(self, name)}")
            require_size("samples_per_ray", self.samples_per_ray, self.samples_per_ray * 1024 * SAMPLE)
            require_size("occupancy_resolution", self.occupancy_resolution, self.occupancy_resolution**3 * 32)
            require(0 <= self.early_stop < 1, f"early_stop: from 0 to below 1, got {self.early_stop}")
            require(self.occupancy_threshold >= 0, f"occupancy_threshold: at least 0, got {self.occupancy_threshold}")
            require(
                self.occupancy_warmup_steps >= 0,
                f"occupancy_warmup_steps: at least 0, got {self.occupancy_warmup_steps}",
            )

    def __init__(self, config: Config, geometry: Geometry) -> None:
        super().__init__()
        self.config = config
        self.occupancy = OccupancyGrid(
            _density_field(geometry).bound,
            config.occupancy_resolution,
            config.occupancy_threshold,
            config.occupancy_warmup_steps,
            config.occupancy_refresh_every,
        )
        self._at_once: int | None = None

    def refresh(self, geometry: Geometry, step: int, rng: Generator) -> None:
        """Look at the field anew when its time has come."""
        self.occupancy.refresh(_density_field(geometry), step, rng)

    def never_skip(self, cells: Callable[[float, int], Bool[Tensor, "cells cells cells"]]) -> None:
        """Count cells as occupied whatever the field says."""
        grid = self.occupancy
        grid.force(grid.forced | cells(grid.bound, grid.resolution))

    def take_less_memory(self) -> bool:
        """Let the field see fewer samples at once, and see them again for the gradient."""
        before = self._at_once
        most = before or self.config.rays_per_chunk * self.config.samples_per_chunk
        self._at_once = max(FEWEST_AT_ONCE, most // 4)
        return self._at_once != before

    def forward(
        self, geometry: Geometry, background: Background, cameras: Cameras, rng: Generator, with_normals: bool = False
    ) -> RenderOutput:
        """Render all views. Samples are moved by `rng` in training and stand in the middle of their interval otherwise.

        Source: NeRF (arXiv:2003.08934), eq. 3, for the picture and the opacity; the depth is the same sum over
        distances.
        """
        field = _density_field(geometry)
        rays = camera_rays(cameras)
        shape = rays.directions.shape[:-1]
        origins, directions = rays.origins.reshape(-1, 3), rays.directions.reshape(-1, 3)
        places = None
        if self.training:  # drawn where the generator is, so that one seed gives the same samples on every device
            drawn = uniform(rng, len(origins), self.config.samples_per_ray, dtype=origins.dtype)
            places = drawn.to(origins.device)
        size = self.config.rays_per_chunk
        chunks = [slice(first, first + size) for first in range(0, len(origins), size)]
        seen = _join(
            [
                self._follow(
                    field, origins[rays], directions[rays], None if places is None else places[rays], with_normals
                )
                for rays in chunks
            ]
        )
        foreground, opacity = seen.foreground.view(*shape, -1), seen.opacity.view(shape)
        behind = seen_behind(background, rays.directions, rng, foreground)
        return RenderOutput(
            latents=over_background(foreground, opacity, behind),
            opacity=opacity,
            depth=seen.depth.view(shape),
            normals=None if seen.normals is None else seen.normals.view(*shape, 3),
            foreground=foreground,
            samples=seen.samples,
            background=behind,
        )

    def _follow(
        self, field: DensityField, origins: Tensor, directions: Tensor, places: Tensor | None, with_normals: bool
    ) -> RayColours:
        """What the rays show: candidates, then the field chunk by chunk, then the sums along each ray."""
        n_rays = len(origins)
        step = 2 * field.bound / self.config.samples_per_ray
        intervals = ball_intervals(origins, directions, field.bound, self.config.samples_per_ray, places)
        candidates = pack(origins, directions, intervals, self.occupancy)
        chosen, density, features, weights = self._look(field, candidates, n_rays)
        ray_index, positions = candidates.ray_index[chosen], candidates.positions[chosen]
        weighted = weights[:, None] * torch.cat(
            [features, torch.ones_like(features[:, :1]), candidates.distances[chosen, None]], 1
        )
        sums = sum_over_rays(weighted, ray_index, n_rays)
        foreground, opacity, reach = sums[:, :-2], sums[:, -2], sums[:, -1]
        normals = None
        if with_normals:
            visible = (weights > FAINT_WEIGHT).nonzero()[:, 0]
            looks = self._seen(lambda points: outward_normals(field, points, step), positions[visible])
            normals = sum_over_rays(weights[visible, None] * torch.cat(looks), ray_index[visible], n_rays)
        return RayColours(
            foreground=foreground,
            opacity=opacity,
            depth=reach / opacity.clamp_min(torch.finfo(opacity.dtype).eps),
            normals=normals,
            samples=RaySamples(positions, candidates.widths[chosen], ray_index, density, weights),
        )

    def _seen(self, look: Callable[[Tensor], T], positions: Tensor) -> list[T]:
        """A look at all positions at once; where memory is short, at some at a time."""
        if self._at_once is None or not torch.is_grad_enabled():
            return [look(positions)]
        return recomputed(look, positions, self._at_once)

    def _look(
        self, field: DensityField, candidates: PackedSamples, n_rays: int
    ) -> tuple[
        Int[Tensor, "samples"], Float[Tensor, "samples"], Float[Tensor, "samples channels"], Float[Tensor, "samples"]
    ]:
        """The field at the candidates, front to back, one call per chunk, until each ray is opaque.

        Returns:
            Which candidates were looked at, ray after ray, and their density, features and ray weights.
        """
        size = self.config.samples_per_chunk
        deepest = -math.log(self.config.early_stop) if self.config.early_stop > 0 else math.inf
        n_chunks = max(1, math.ceil((int(candidates.rank.max()) + 1) / size)) if candidates.rank.numel() else 1
        passed = candidates.positions.new_zeros(n_rays, 1)
        looked: list[tuple[Tensor, ...]] = []
        for chunk in range(n_chunks):
            open_rays = passed.detach()[:, 0] < deepest
            in_chunk = candidates.rank.div(size, rounding_mode="floor") == chunk
            chosen = (in_chunk & open_rays[candidates.ray_index]).nonzero()[:, 0]
            outputs = self._seen(field, candidates.positions[chosen])
            output = _whole(field, outputs, len(chosen))
            place = (candidates.ray_index[chosen], candidates.rank[chosen] - chunk * size)
            depths = passed.new_zeros(n_rays, size).index_put(place, output.density * candidates.widths[chosen])
            looked.append((chosen, output.density, output.features, ray_weights(depths, passed)[place]))
            passed = passed + depths.sum(dim=1, keepdim=True)
        if n_chunks == 1:
            return looked[0]  # pyright: ignore[reportReturnType]
        chosen, density, features, weights = (torch.cat(parts) for parts in zip(*looked, strict=True))
        order = chosen.argsort()
        return chosen[order], density[order], features[order], weights[order]


def _whole(field: DensityField, outputs: list[Any], n_points: int) -> FieldOutput:
    """What a field gave for so many points, piece by piece, as one; an error where it is not what fields promise."""
    for output in outputs:
        if not isinstance(output, FieldOutput):
            raise field.wrong_result(output, "forward: FieldOutput")
    output = outputs[0] if len(outputs) == 1 else FieldOutput.joined(outputs)
    if output.density.shape != (n_points,):
        raise field.wrong_result(output.density, f"forward: a density of shape {(n_points,)}")
    if output.features.shape != (n_points, field.n_channels):
        raise field.wrong_result(output.features, f"forward: features of shape {(n_points, field.n_channels)}")
    return output


def _density_field(geometry: Geometry) -> DensityField:
    """The geometry, if this renderer can show it."""
    if not isinstance(geometry, DensityField):
        raise UserError(
            f"renderer 'volume' shows density fields ({', '.join(names('geometry', DensityField))}), "
            f"'{geometry.part_name}' is none"
        )
    return geometry


def _join(parts: list[RayColours]) -> RayColours:
    """Consecutive sets of rays as one, the rays of its samples counted through."""
    if len(parts) == 1:
        return parts[0]
    first, counted = 0, []
    for part in parts:
        counted.append(replace(part, samples=replace(part.samples, ray_index=part.samples.ray_index + first)))
        first += len(part.opacity)
    return RayColours.joined(counted)
