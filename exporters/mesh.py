"""`mesh`: mesh.glb, a closed surface with the colours that the model decodes."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from core.errors import UserError, require
from core.kinds import DensityField, Exporter, System
from core.settings import plain
from exporters.glb import ColouredMesh, write_glb
from exporters.projection import Photographs, point_colours
from geometry.isosurface import extract_surface

log = logging.getLogger(__name__)


class MeshExporter(Exporter, name="mesh"):
    """mesh.glb from a density field: threshold found by silhouettes, colours from decoded views."""

    @dataclass(frozen=True)
    class Config:
        """Settings of the mesh exporter."""

        resolution: int = 128
        """Points of the density grid along each axis."""
        n_silhouettes: int = 12
        """Views whose silhouettes the surface is fitted to."""
        n_photographs: int = 24
        """Views that are decoded for its colours."""

        def __post_init__(self) -> None:
            for name, least in (("resolution", 8), ("n_silhouettes", 1), ("n_photographs", 1)):
                require(getattr(self, name) >= least, f"{name}: at least {least}, got {getattr(self, name)}")

    def __init__(self, config: Config) -> None:
        self.config = config

    def export(self, system: System, run_folder: Path) -> list[Path]:
        """Extract the surface, colour it, write it.

        Raises:
            UserError: the geometry is no density field, or it is empty.
        """
        mesh = coloured_mesh(system, self.config)
        log.info("mesh: %d vertices, %d faces", len(mesh.vertices), len(mesh.faces))
        return [write_glb(run_folder / "mesh.glb", mesh, provenance(system))]


def coloured_mesh(system: System, config: MeshExporter.Config) -> ColouredMesh:
    """The surface of a trained density field with a colour at each vertex.

    Raises:
        UserError: the geometry is no density field, or it is empty.
    """
    field = system.geometry
    if not isinstance(field, DensityField):
        raise UserError(f"exporter 'mesh' draws density fields; '{field.part_name}' is none")
    size = system.guidance.latent_size
    outlines = system.surrounding_cameras(config.n_silhouettes, 2 * size)
    surface = extract_surface(field, outlines, system.render(outlines).opacity, config.resolution)
    if surface.n_floaters:
        log.info("mesh: %d floating pieces left out", surface.n_floaters)
    cameras = system.surrounding_cameras(config.n_photographs, size)
    render = system.render(cameras)
    photographs = Photographs(cameras.to("cpu"), system.decode(render.latents).cpu(), render.opacity.cpu())
    normals = vertex_normals(surface.vertices, surface.faces)
    colours = point_colours(surface.vertices, normals, photographs, surface.vertices, surface.faces)
    return ColouredMesh(surface.vertices, normals, surface.faces, colours.astype(np.float32))


def vertex_normals(
    vertices: Float[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"]
) -> Float[np.ndarray, "vertices 3"]:
    """Unit normals, means of the faces around each vertex weighted by area; +y where a vertex has no area around it."""
    a, b, c = vertices[faces].astype(np.float64).transpose(1, 0, 2)
    twice_area = np.cross(b - a, c - a)
    sums = np.zeros((len(vertices), 3))
    for corner in range(3):
        np.add.at(sums, faces[:, corner], twice_area)
    length = np.linalg.norm(sums, axis=-1, keepdims=True)
    unit = np.where(length > 0, sums / np.maximum(length, 1e-300), [0.0, 1.0, 0.0])
    return unit.astype(np.float32)


def provenance(system: System) -> dict[str, Any]:
    """What a file made of this system should remember."""
    return {
        "prompt": system.prompt,
        "seed": system.seed,
        "steps": system.total_steps,
        "system": {"type": system.part_name, **plain(system.config)},
    }
