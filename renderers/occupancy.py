"""Skipping empty space: a grid over the scene remembers where a field has density.

It lives in buffers, so a checkpoint holds it and a resumed training skips what the unbroken one would have skipped.

Source: Mueller et al., "Instant Neural Graphics Primitives" (arXiv:2201.05989), appendix C; thresholds of our own.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor, nn

from core.kinds import DensityField

# A visit forgets this share of what a cell held before: a single unlucky sample in a dense cell does not empty it.
DECAY = 0.6
# A refresh visits every fourth cell, the next one the next fourth: all are seen in four refreshes, at a quarter of
# the cost.
N_TURNS = 4


class OccupancyGrid(nn.Module):
    """Cells of a cube around the origin, each either occupied or skipped.

    A cell is skipped only if density x cell width < `threshold`. All cells count as occupied while the field still
    forms (`warmup_steps`), and forced cells always.
    """

    density: Float[Tensor, "cells cells cells"]
    occupied: Bool[Tensor, "cells cells cells"]
    forced: Bool[Tensor, "cells cells cells"]

    def __init__(
        self, bound: float, resolution: int, threshold: float = 0.002, warmup_steps: int = 256, refresh_every: int = 16
    ) -> None:
        """
        Args:
            bound: half of the cube's side, in world units.
            resolution: cells along each axis.
            threshold: optical depth across a cell below which it is skipped.
            warmup_steps: steps during which nothing is skipped.
            refresh_every: steps from one look at the field to the next.
        """
        super().__init__()
        self.bound = bound
        self.resolution = resolution
        self.threshold = threshold
        self.warmup_steps = warmup_steps
        self.refresh_every = refresh_every
        shape = (resolution,) * 3
        self.register_buffer("density", torch.zeros(shape))
        self.register_buffer("occupied", torch.ones(shape, dtype=torch.bool))
        self.register_buffer("forced", torch.zeros(shape, dtype=torch.bool))

    @property
    def cell_width(self) -> float:
        """Side of a cell, in world units."""
        return 2 * self.bound / self.resolution

    def cell_centres(self) -> Float[Tensor, "cells cells cells 3"]:
        """Positions of the cells' middles; the axes are x, y, z in this order."""
        axis = (torch.arange(self.resolution, device=self.density.device) + 0.5) * self.cell_width - self.bound
        return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)

    def force(self, cells: Bool[Tensor, "cells cells cells"]) -> None:
        """Mark cells as occupied whatever the field says (a sketch's inside), in place of those marked before."""
        if cells.shape != self.forced.shape:
            raise ValueError(f"cells to force: expected {tuple(self.forced.shape)}, got {tuple(cells.shape)}")
        self.forced.copy_(cells)
        self.occupied |= self.forced

    def contains(self, positions: Float[Tensor, "points 3"]) -> Bool[Tensor, "points"]:
        """Whether each point lies in an occupied cell; points outside of the cube go by the nearest cell."""
        cells = ((positions + self.bound) * (1 / self.cell_width)).to(torch.int32)
        x, y, z = cells.clamp_(0, self.resolution - 1).unbind(dim=-1)
        return self.occupied.flatten().index_select(0, (x * self.resolution + y) * self.resolution + z)

    def refresh(self, field: DensityField, step: int, rng: Generator) -> None:
        """Look at the field where a step asks for it; call once before each training step.

        The first look, at the end of the warm-up, visits every cell; each later one a quarter of them, at one random
        point in each cell.
        """
        if step < self.warmup_steps or (step - self.warmup_steps) % self.refresh_every:
            return
        turn = (step - self.warmup_steps) // self.refresh_every
        every = torch.arange(self.resolution**3, device=self.density.device)
        self._visit(field, every if turn == 0 else every[turn % N_TURNS :: N_TURNS], rng)
        self.occupied.copy_((self.density * self.cell_width >= self.threshold) | self.forced)

    @torch.no_grad()
    def _visit(self, field: DensityField, cells: Int[Tensor, "visited"], rng: Generator) -> None:
        """Take the field's density in these cells; those that touch no part of the field's ball stay empty."""
        centres = self.cell_centres().view(-1, 3)[cells]
        reach = field.bound + self.cell_width * 3**0.5 / 2
        near = centres.square().sum(dim=-1) <= reach**2
        cells, centres = cells[near], centres[near]
        jitter = torch.rand(centres.shape, generator=rng, device=rng.device).to(centres.device)
        seen = field.density(centres + (jitter - 0.5) * self.cell_width)
        if not isinstance(seen, Tensor) or seen.shape != (len(centres),):
            raise field.wrong_result(seen, f"density: one of shape {(len(centres),)}")
        remembered = self.density.view(-1)
        remembered[cells] = torch.maximum(remembered[cells] * DECAY, seen.to(remembered.dtype))
