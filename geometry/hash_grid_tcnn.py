"""The hash encoding on tiny-cuda-nn: the same numbers as the torch definition, faster on NVIDIA cards."""

from typing import Any

import torch
from torch import nn

from geometry.hash_grid import HashGridShape
from geometry.hash_grid_flat import FlatHashGrid


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
