"""Where the colours of a mesh come from: decoded views of latents, or an RGB field that is asked at every point."""

from abc import ABC, abstractmethod

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from core.kinds import DensityField, System, device_of
from exporters.phases import Phases
from exporters.projection import Photographs, seen_colours
from exporters.texture_bake import UnwrappedMesh, bake_photographs, bake_points, filled_vertices

#: Points that a field is asked for together.
POINTS_AT_ONCE = 2**17
#: Views that are rendered and decoded together.
VIEWS_AT_ONCE = 4


class ColourSource(ABC):
    """Gives a surface its colours."""

    @abstractmethod
    def of_vertices(
        self,
        vertices: Float[np.ndarray, "vertices 3"],
        normals: Float[np.ndarray, "vertices 3"],
        faces: Int[np.ndarray, "faces 3"],
        phases: Phases,
    ) -> Float[np.ndarray, "vertices 3"]:
        """sRGB at the vertices."""

    @abstractmethod
    def texture(
        self, mesh: UnwrappedMesh, height: int, width: int, phases: Phases
    ) -> UInt8[np.ndarray, "height width 3"]:
        """A texture for an unwrapped mesh, row 0 on top."""


def colour_source(system: System, n_photographs: int, phases: Phases) -> ColourSource:
    """What fits the system: points where colours can be asked for point by point, else views from all sides."""
    if system.decodes_points and isinstance(system.geometry, DensityField):
        return FieldColours(system, system.geometry)
    return PictureColours(take_photographs(system, n_photographs, phases))


def take_photographs(system: System, n_views: int, phases: Phases) -> Photographs:
    """Decoded views from all sides, on the CPU."""
    cameras = system.surrounding_cameras(n_views, system.guidance.latent_size)
    colours, opacity = [], []
    with phases.phase("views", n_views) as bar:
        for first in range(0, n_views, VIEWS_AT_ONCE):
            render = system.render(cameras[first : first + VIEWS_AT_ONCE])
            colours.append(system.decode(render.latents).cpu())
            opacity.append(render.opacity.cpu())
            bar.update(len(colours[-1]))
    return Photographs(cameras.to("cpu"), torch.cat(colours), torch.cat(opacity))


class PictureColours(ColourSource):
    """Pictures whose cameras are known."""

    def __init__(self, photographs: Photographs) -> None:
        self.photographs = photographs

    def of_vertices(
        self,
        vertices: Float[np.ndarray, "vertices 3"],
        normals: Float[np.ndarray, "vertices 3"],
        faces: Int[np.ndarray, "faces 3"],
        phases: Phases,
    ) -> Float[np.ndarray, "vertices 3"]:
        """What the pictures say of the vertices; of those that none shows, what is said of their neighbours."""
        with phases.phase("colours", len(self.photographs.cameras)) as bar:
            colours, weights = seen_colours(vertices, normals, self.photographs, vertices, faces, bar.update)
            return filled_vertices(vertices, faces, colours, weights)

    def texture(
        self, mesh: UnwrappedMesh, height: int, width: int, phases: Phases
    ) -> UInt8[np.ndarray, "height width 3"]:
        """The pictures baked."""
        with phases.phase("bake", len(self.photographs.cameras)) as bar:
            return bake_photographs(mesh, self.photographs, height, width, bar.update)


class FieldColours(ColourSource):
    """A density field whose features are colours."""

    def __init__(self, system: System, field: DensityField) -> None:
        self.system, self.field = system, field

    def of_vertices(
        self,
        vertices: Float[np.ndarray, "vertices 3"],
        normals: Float[np.ndarray, "vertices 3"],
        faces: Int[np.ndarray, "faces 3"],
        phases: Phases,
    ) -> Float[np.ndarray, "vertices 3"]:
        """The field at the vertices."""
        with phases.phase("colours"):
            return self.at(vertices.astype(np.float64))

    def texture(
        self, mesh: UnwrappedMesh, height: int, width: int, phases: Phases
    ) -> UInt8[np.ndarray, "height width 3"]:
        """The field at the texels' places."""
        with phases.phase("bake"):
            return bake_points(mesh, self.at, height, width)

    @torch.no_grad()
    def at(self, points: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, "points 3"]:
        """sRGB of points of the field."""
        device = device_of(self.field)
        colours = []
        for chunk in torch.from_numpy(points).float().split(POINTS_AT_ONCE):
            features = self.field(chunk.to(device)).features
            colours.append(self.system.decode(features[None, None])[0, 0].double().cpu().numpy())
        return np.concatenate(colours)
