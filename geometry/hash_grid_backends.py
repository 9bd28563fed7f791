"""Backends of the hash grid: the definition in torch and two for NVIDIA cards, which save and load the same tables."""

import importlib.util
from collections.abc import Callable

import torch
from torch import nn

from core.backends import Backend, Backends
from geometry.hash_grid import HashGrid
from geometry.hash_levels import HashGridShape

MakeHashGrid = Callable[[HashGridShape], nn.Module]


def _missing(package: str, how: str) -> str | None:
    """Why a backend for NVIDIA cards cannot run here; `how` says where its package comes from."""
    if importlib.util.find_spec(package) is None:
        return f"{package} is not installed ({how})"
    return None if torch.cuda.is_available() else "no CUDA device is visible"


def _load_tcnn() -> MakeHashGrid:
    from geometry.hash_grid_flat import tcnn_hash_grid

    return tcnn_hash_grid


def _load_triton() -> MakeHashGrid:
    from geometry.hash_grid_triton import triton_hash_grid

    return triton_hash_grid


HASH_GRIDS: Backends[MakeHashGrid] = Backends(
    "hash grid",
    (
        Backend("tcnn", _load_tcnn, lambda: _missing("tinycudann", "requirements-gpu.txt says how")),
        Backend("triton", _load_triton, lambda: _missing("triton", "it comes with CUDA builds of torch")),
        Backend("torch", lambda: HashGrid, lambda: None),
    ),
)
"""Makers of hash grids; each grid has the `n_channels` and `forward` of HashGrid, and saves the same tables."""
