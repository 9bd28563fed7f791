"""Whether a mesh has the outline of what it was made of: its silhouettes against the opacity that was rendered."""

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from core.cameras import camera_rays
from core.rays import RayTracer
from core.types import Cameras

OPAQUE = 0.5


def silhouettes(
    vertices: Float[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"], cameras: Cameras
) -> Bool[np.ndarray, "views height width"]:
    """Pixels whose central ray hits the mesh."""
    rays = camera_rays(cameras.to("cpu"))
    hit = RayTracer(vertices, faces).hits_any(
        *(each.reshape(-1, 3).numpy() for each in (rays.origins, rays.directions))
    )
    return hit.reshape(len(cameras), cameras.height, cameras.width)


def silhouette_iou(mesh: Bool[np.ndarray, "views height width"], opacity: Float[Tensor, "views height width"]) -> float:
    """Pixels that both call object over those that either does, all views together."""
    opaque = (opacity > OPAQUE).cpu().numpy()
    return float((mesh & opaque).sum() / max(1, (mesh | opaque).sum()))
