"""A hash grid whose tables are one flat vector, as tiny-cuda-nn lays them out, saved and loaded as the definition's.

The vector holds level after level, entry after entry, an entry's features side by side. Here that is turned into one
table per level when a state is saved, and back when it is loaded, so that checkpoints do not know which backend
trained them. (Adam's moments are not turned: a training resumes on the backend that it began with.)

Source: tiny-cuda-nn's DOCUMENTATION.md, "Grid".
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geometry.hash_grid import encode
from geometry.hash_levels import HashGridShape, Level, level_layout


def tables_from_flat(
    flat: Float[Tensor, "values"], levels: Sequence[Level], n_features: int
) -> list[Float[Tensor, "_ features"]]:
    """One table per level from the flat vector."""
    sizes = [level.n_entries * n_features for level in levels]
    return [part.reshape(-1, n_features) for part in flat.split(sizes)]


def flat_from_tables(tables: Sequence[Float[Tensor, "_ features"]]) -> Float[Tensor, "values"]:
    """The flat vector from one table per level."""
    return torch.cat([table.flatten() for table in tables])


class FlatHashGrid(nn.Module):
    """A hash grid computed by some encoding of a flat vector, which saves and loads like `HashGrid`."""

    def __init__(self, shape: HashGridShape, encoding: nn.Module, on_gpu_only: bool = False) -> None:
        """
        Args:
            shape: of the grid.
            encoding: computes the features of positions; its parameter `params` is the flat vector.
            on_gpu_only: elsewhere (`--device cpu` on a machine with a GPU) the definition computes the same.
        """
        super().__init__()
        self.shape = shape
        self.levels = level_layout(shape)
        self.n_channels = shape.n_levels * shape.n_features
        n_expected = sum(level.n_entries for level in self.levels) * shape.n_features
        n_values = encoding.get_parameter("params").numel()
        if n_values != n_expected:
            raise RuntimeError(f"the encoding made {n_values} values for {shape}, its layout has {n_expected}")
        self.encoding = encoding
        self.on_gpu_only = on_gpu_only
        self.register_state_dict_post_hook(_tables_for_vector)
        self.register_load_state_dict_pre_hook(_vector_for_tables)

    def forward(self, positions: Float[Tensor, "points 3"]) -> Float[Tensor, "points channels"]:
        """Features at positions in [0, 1]^3; `channels` = levels x features."""
        if positions.is_cuda or not self.on_gpu_only:
            return self.encoding(positions)
        flat = self.encoding.get_parameter("params")
        return encode(tables_from_flat(flat, self.levels, self.shape.n_features), self.levels, positions)


def _tables_for_vector(grid: FlatHashGrid, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """After saving: the tables of the torch definition in place of the vector."""
    flat = state.pop(f"{prefix}encoding.params")
    for index, table in enumerate(tables_from_flat(flat, grid.levels, grid.shape.n_features)):
        state[f"{prefix}tables.{index}"] = table


def _vector_for_tables(grid: FlatHashGrid, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Before loading: the vector in place of the tables, if they are all there (torch reports what is missing)."""
    keys = [f"{prefix}tables.{index}" for index in range(len(grid.levels))]
    if all(key in state for key in keys):
        state[f"{prefix}encoding.params"] = flat_from_tables([state.pop(key) for key in keys])
