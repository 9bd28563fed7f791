"""A finished mesh with its colours, before it becomes a file of one format or another."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8


@dataclass(frozen=True)
class ColouredMesh:
    """A triangle mesh with a colour at each vertex, or with a texture; +y up, front +z, as this project has it."""

    vertices: Float[np.ndarray, "vertices 3"]
    normals: Float[np.ndarray, "vertices 3"] | None
    """Outward, of unit length; None lets viewers draw each face flat."""
    faces: Int[np.ndarray, "faces 3"]
    """Counter-clockwise seen from outside."""
    colours: Float[np.ndarray, "vertices 3"] | None = None
    """sRGB in [0, 1], as pictures have them."""
    uv: Float[np.ndarray, "vertices 2"] | None = None
    """Places in the texture, to the right and upward from its lower left corner; beyond [0, 1] it repeats."""
    texture: UInt8[np.ndarray, "rows columns 3"] | None = None
    """sRGB bytes, row 0 on top."""
    uv_downward: Float[np.ndarray, "vertices 2"] | None = None
    """The same places counted from the top, where they came so: 1 - v is rounded."""

    def __post_init__(self) -> None:
        if (self.colours is None) == (self.texture is None) or (self.uv is None) != (self.texture is None):
            raise ValueError("a mesh has either a colour at each vertex, or a texture and each vertex's place in it")
