"""Where the colours of a mesh come from: decoded views of latents, or an RGB field evaluated at every point."""

import numpy as np
import torch
from jaxtyping import Float, UInt8

from core.kinds import DensityField, System, device_of
from exporters.phases import Phases
from exporters.projection import Photographs, seen_colours
from exporters.surface_fill import fill_over_surface
from exporters.texture_bake import HARDLY_SEEN, bake_photographs, bake_points
from geometry.mesh import Mesh

#: Points that a field is asked for together.
POINTS_AT_ONCE = 2**17
#: Views that are rendered and decoded together.
VIEWS_AT_ONCE = 4


def colours_at_vertices(
    system: System, mesh: Mesh, n_photographs: int, phases: Phases
) -> Float[np.ndarray, "vertices 3"]:
    """sRGB at the vertices; those that no view shows take the colours of their neighbours on the surface."""
    if _has_colours_at_points(system):
        with phases.phase("colours"):
            return field_colours(system, mesh.vertices.astype(np.float64))
    photographs = take_photographs(system, n_photographs, phases)
    with phases.phase("colours", n_photographs) as bar:
        assert mesh.normals is not None
        colours, weights = seen_colours(mesh.vertices, mesh.normals, photographs, mesh, bar.update)
        return fill_over_surface(mesh, colours, weights > HARDLY_SEEN)


def baked_texture(
    system: System, mesh: Mesh, height: int, width: int, n_photographs: int, phases: Phases
) -> UInt8[np.ndarray, "height width 3"]:
    """A texture for a mesh with normals and texture coordinates, row 0 on top."""
    if _has_colours_at_points(system):
        with phases.phase("bake"):
            return bake_points(mesh, lambda points: field_colours(system, points), height, width)
    photographs = take_photographs(system, n_photographs, phases)
    with phases.phase("bake", n_photographs) as bar:
        return bake_photographs(mesh, photographs, height, width, bar.update)


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


@torch.no_grad()
def field_colours(system: System, points: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, "points 3"]:
    """sRGB of points of a field whose features are colours."""
    device = device_of(system.geometry)
    colours = []
    for chunk in torch.from_numpy(points).float().split(POINTS_AT_ONCE):
        features = system.geometry(chunk.to(device)).features
        colours.append(system.decode(features[None, None])[0, 0].double().cpu().numpy())
    return np.concatenate(colours)


def _has_colours_at_points(system: System) -> bool:
    return system.guidance.decodes_pixelwise and isinstance(system.geometry, DensityField)
