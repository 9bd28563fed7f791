"""What a visitor sees: the object from their own camera, as one of several pictures."""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from core.cameras import camera_rays
from core.kinds import System
from core.types import Cameras, LinearColour, RenderOutput
from geometry.textured_mesh import TexturedMesh
from guidance.latent_colour import fit_linear_colour
from systems.contact_sheet import enlarged, shown_depth, shown_normals, shown_opacity, to_bytes

Kind = Literal["colour", "linear colour of the latents", "opacity", "depth", "normals", "mesh"]
KINDS: tuple[Kind, ...] = get_args(Kind)
#: A visitor's window is drawn at most this much wider than high, or higher than wide.
MOST_ASPECT = 2.5
#: Views whose latents and decoded pixels the linear colour is fitted to.
N_FITTED_VIEWS = 4
#: Depth where there is nothing, so that what stands behind is seen; viser's format ends at 167.
BEYOND = 160.0


@dataclass(frozen=True)
class Pose:
    """Where a visitor looks from. Made of numbers that a browser has sent, so they are brought within bounds."""

    c2w: Float[np.ndarray, "4 4"]
    """Camera to world; columns are right, up, backward, position (OpenGL)."""
    fovy_deg: float
    aspect: float
    """Width over height of the window."""

    @classmethod
    def of_opencv(
        cls, rotation: NDArray[np.floating], position: NDArray[np.floating], fovy: float, aspect: float
    ) -> "Pose | None":
        """From a rotation whose columns are right, down, forward, and an angle in radians; None for no numbers."""
        c2w = np.eye(4)
        c2w[:3, :3], c2w[:3, 3] = rotation * np.array([1.0, -1.0, -1.0]), position
        if not (np.isfinite(c2w).all() and math.isfinite(fovy) and math.isfinite(aspect)):
            return None
        c2w[:3, 3] = np.clip(c2w[:3, 3], -100.0, 100.0)
        aspect = min(max(aspect, 1 / MOST_ASPECT), MOST_ASPECT)
        return cls(c2w, min(max(math.degrees(fovy), 5.0), 120.0), aspect)

    def cameras(self, size: int) -> Cameras:
        """The camera, for a picture whose shorter side has this many pixels or latents."""
        height, width = size, size
        if self.aspect >= 1:
            width = round(size * self.aspect)
        else:
            height = round(size / self.aspect)
        x, y, z = self.c2w[:3, 3]
        elevation, azimuth = math.degrees(math.atan2(y, math.hypot(x, z))), math.degrees(math.atan2(x, z))
        fovy_deg, elevation_deg, azimuth_deg = torch.tensor([self.fovy_deg, elevation, azimuth])[:, None]
        c2w = torch.from_numpy(self.c2w).float()[None]
        return Cameras(c2w, fovy_deg, elevation_deg, azimuth_deg, height, width)


@dataclass(frozen=True)
class Picture:
    """What is sent to a visitor."""

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    """Distance along the viewing direction, of fewer pixels than the colours; what stands in the scene (cameras) is
    hidden behind the object by it."""


class Painter:
    """Draws a system for visitors, without touching its training."""

    def __init__(self, system: System) -> None:
        self.system = system
        self._colour: LinearColour | None = None

    def draw(self, pose: Pose, kind: Kind, is_small: bool) -> Picture:
        """A picture of the object; small ones are made while the camera moves."""
        cameras = pose.cameras(self._size(is_small))
        render = self.system.render(cameras, with_normals=kind == "normals")
        depth = _depth(render, cameras.to(render.opacity.device))
        return Picture(to_bytes(self._shown(render, kind, is_small)[0]), depth)

    def _size(self, is_small: bool) -> int:
        """Of the shorter side, in latents: what guidance works at while the camera moves, twice that at rest."""
        guidance = self.system.guidance
        if guidance.decodes_pixelwise:  # colours by another name: a quarter of a picture says enough
            return max(16, guidance.latent_size // 4) if is_small else guidance.latent_size
        return guidance.latent_size * (1 if is_small else 2)

    def _shown(self, render: RenderOutput, kind: Kind, is_small: bool) -> Float[Tensor, "views rows columns 3"]:
        if kind == "colour":
            return self.system.decode(render.latents)
        if kind == "linear colour of the latents":
            return self._linear(render.latents)
        shown = {"opacity": shown_opacity, "depth": shown_depth, "normals": shown_normals}[kind](render)
        return shown if is_small else enlarged(shown, (4 * shown.shape[1], 4 * shown.shape[2]))

    def _linear(self, latents: Float[Tensor, "views height width channels"]) -> Float[Tensor, "views height width 3"]:
        if self.system.guidance.decodes_pixelwise:
            return self.system.decode(latents)
        if self._colour is None:
            known = self.system.render(
                self.system.validation_cameras(N_FITTED_VIEWS, self.system.guidance.latent_size)
            ).latents
            pictures = self.system.decode(known).movedim(-1, 1)
            means = F.adaptive_avg_pool2d(pictures, (known.shape[1], known.shape[2])).movedim(1, -1)
            self._colour = fit_linear_colour(known.flatten(0, 2), means.flatten(0, 2))
        return self._colour.rgb(latents).clamp(0, 1)


def mesh_pose(system: System) -> dict[str, Any]:
    """How an exported mesh stands in the scene, as viser says it: a painted one keeps the user's own coordinates."""
    from viser.transforms import SO3

    geometry = system.geometry
    if not isinstance(geometry, TexturedMesh):
        return {}
    used = np.unique(geometry.mesh.faces)
    own, seen = geometry.mesh.vertices[used], geometry.vertices.cpu().double().numpy()[used]
    own_middle, seen_middle = own.mean(axis=0), seen.mean(axis=0)
    # Kabsch (1976), with the scale of Umeyama (1991): placement is a similarity without a mirror.
    u, strength, vt = np.linalg.svd((seen - seen_middle).T @ (own - own_middle))
    flip = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation, scale = (u * flip) @ vt, float((strength * flip).sum() / ((own - own_middle) ** 2).sum())
    position = seen_middle - scale * rotation @ own_middle
    return {"scale": scale, "wxyz": SO3.from_matrix(rotation).wxyz, "position": position}


def _depth(render: RenderOutput, cameras: Cameras) -> NDArray[np.float32]:
    """Distance along the viewing direction where the object is, far away elsewhere."""
    forward = -cameras.c2w[:, None, None, :3, 2]
    along = (camera_rays(cameras).directions * forward).sum(dim=-1)
    depth = torch.where(render.opacity > 0.5, render.depth * along, BEYOND)
    return depth[0].float().cpu().numpy()
