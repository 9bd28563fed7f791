"""Backends of the hash grid: the definition in torch and two for NVIDIA cards, which save and load the same tables."""

import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from core.backends import Backend, Backends
from geometry.hash_grid import HashGrid
from geometry.hash_grid_flat import FlatHashGrid
from geometry.hash_grid_triton import triton_hash_grid
from geometry.hash_levels import HashGridShape


def encoding_config(shape: HashGridShape) -> dict[str, Any]:
    """The same grid in tiny-cuda-nn's words (its DOCUMENTATION.md, "Grid")."""
    return {
        "otype": "Grid",
        "type": "Hash",
        "n_levels": shape.n_levels,
        "n_features_per_level": shape.n_features,
        "log2_hashmap_size": shape.log2_table_size,
        "base_resolution": shape.base_resolution,
        "per_level_scale": shape.growth,
        "interpolation": "Linear",
    }


def tcnn_hash_grid(shape: HashGridShape) -> FlatHashGrid:
    """The grid on the installed tinycudann, in float32, its first tables drawn as the torch definition's."""
    import tinycudann  # pyright: ignore[reportMissingImports] - optional: requirements-gpu.txt

    encoding = tinycudann.Encoding(3, encoding_config(shape), dtype=torch.float32)
    nn.init.uniform_(encoding.params, -1e-4, 1e-4)
    return FlatHashGrid(shape, encoding, on_gpu_only=True)


def _missing(package: str, how: str) -> str | None:
    """Why a backend for NVIDIA cards cannot run here; `how` says where its package comes from."""
    if importlib.util.find_spec(package) is None:
        return f"{package} is not installed ({how})"
    return None if torch.cuda.is_available() else "no CUDA device is visible"


HASH_GRIDS: Backends[Callable[[HashGridShape], nn.Module]] = Backends(
    "hash grid",
    (
        Backend("tcnn", lambda: tcnn_hash_grid, lambda: _missing("tinycudann", "requirements-gpu.txt says how")),
        Backend("triton", lambda: triton_hash_grid, lambda: _missing("triton", "it comes with CUDA builds of torch")),
        Backend("torch", lambda: HashGrid, lambda: None),
    ),
)
"""Makers of hash grids; each grid has the `n_channels` and `forward` of HashGrid, and saves the same tables."""
