"""Rays against triangles, on the CPU: the one place that knows embree."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int


@dataclass(frozen=True)
class Hits:
    """What each ray meets first."""

    face: Int[np.ndarray, "rays"]
    """-1 where it meets none."""
    barycentric: Float[np.ndarray, "rays 3"]
    """Weights of the face's three corners, which sum to 1; 0 where no face is met."""


class RayTracer:
    """Triangles that answer rays in single precision, both of their sides seen."""

    def __init__(self, vertices: Float[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"]) -> None:
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene  # pyright: ignore[reportAttributeAccessIssue]

        self._scene = EmbreeScene(robust=True)  # or rays slip between two faces along their common edge
        TriangleMesh(self._scene, vertices.astype(np.float32), faces.astype(np.int32))

    def first_hits(self, origins: Float[np.ndarray, "rays 3"], directions: Float[np.ndarray, "rays 3"]) -> Hits:
        """The nearest face along each ray, and where on it; directions need no unit length."""
        found = self._scene.run(*_single(origins, directions), query="INTERSECT", output=True)
        u, v, face = found["u"], found["v"], found["primID"].astype(np.int64)
        return Hits(face, np.stack([1 - u - v, u, v], axis=-1) * (face >= 0)[:, None])

    def hits_any(
        self, origins: Float[np.ndarray, "rays 3"], directions: Float[np.ndarray, "rays 3"]
    ) -> Bool[np.ndarray, "rays"]:
        """Whether each ray meets a face."""
        return self._scene.run(*_single(origins, directions), query="INTERSECT") >= 0


def _single(*rays: Float[np.ndarray, "rays 3"]) -> list[Float[np.ndarray, "rays 3"]]:
    return [np.ascontiguousarray(part, dtype=np.float32) for part in rays]
