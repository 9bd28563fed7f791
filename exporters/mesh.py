"""`mesh`: mesh.glb, mesh.obj or mesh.ply: a closed surface with the colours that the model decodes."""

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from core.errors import UserError, require
from core.kinds import DensityField, Exporter, System, device_of
from exporters.coloured_mesh import ColouredMesh
from exporters.mesh_colour import ColourSource, colour_source
from exporters.mesh_files import MeshFormat, write_mesh
from exporters.phases import Phases, keep_record
from exporters.provenance import provenance
from exporters.seams import seam_gaps
from exporters.silhouettes import silhouette_iou, silhouettes
from exporters.texture_bake import UnwrappedMesh
from geometry.isosurface import Surface, extract_surface
from geometry.simplify import simplified
from geometry.surface_pieces import is_closed, pieces, without_hidden_pieces
from geometry.unwrap import unwrap

log = logging.getLogger(__name__)

#: Texels per side of the texture for each pixel of a decoded picture, and the least and most texels.
TEXELS_PER_PIXEL, SMALLEST_TEXTURE, LARGEST_TEXTURE = 4, 256, 2048
#: A mesh whose silhouettes agree less with what rays see is told.
POOR_OUTLINE = 0.8


class MeshExporter(Exporter, name="mesh"):
    """The mesh of a density field: threshold found by silhouettes, colours from decoded views in a texture."""

    @dataclass(frozen=True)
    class Config:
        """Settings of the mesh exporter."""

        format: MeshFormat = "glb"
        """Kind of file: mesh.glb holds everything; mesh.obj comes with mesh.mtl and mesh.png; mesh.ply has colours at
        its vertices."""
        colours: Literal["auto", "texture", "vertices"] = "auto"
        """Where colours go; auto: into a texture, at the vertices for ply."""
        resolution: int | None = None
        """Points of the density grid along each axis; null: 256 on a GPU, 128 on a CPU."""
        n_faces: int = 20_000
        """Faces at most; the surface is simplified down to them."""
        texture_size: int | None = None
        """Height and width of the texture, about; null: four times the decoded pictures', from 256 to 2048."""
        n_silhouettes: int = 12
        """Views whose silhouettes the surface is fitted to."""
        n_photographs: int = 24
        """Views that are decoded for its colours."""
        unwrap_limit_s: float = 120.0
        """Seconds after which the unwrapping is given up."""

        def __post_init__(self) -> None:
            for name, least in (("n_faces", 100), ("n_silhouettes", 1), ("n_photographs", 1)):
                require(getattr(self, name) >= least, f"{name}: at least {least}, got {getattr(self, name)}")
            for name, least in (("resolution", 8), ("texture_size", 16)):
                given = getattr(self, name)
                require(given is None or given >= least, f"{name}: at least {least} or null, got {given}")
            require(self.unwrap_limit_s > 0, f"unwrap_limit_s: above 0, got {self.unwrap_limit_s:g}")
            require(
                self.format != "ply" or self.colours != "texture",
                "colours: PLY files hold no texture; use 'vertices', or the format glb or obj",
            )

    def __init__(self, config: Config) -> None:
        self.config = config

    def accepts(self, system: System) -> str | None:
        """It needs a volume to find a surface in."""
        field = system.geometry
        return None if isinstance(field, DensityField) else f"exports density fields; '{field.part_name}' is none"

    def export(self, system: System, run_folder: Path) -> list[Path]:
        """Extract the surface, colour it, write it, and keep what was found in export.json.

        Raises:
            UserError: the geometry is no density field, it is empty, or it cannot be unwrapped in time.
        """
        phases = Phases("mesh")
        mesh, figures = coloured_mesh(system, self.config, phases)
        with phases.phase("write"):
            files = write_mesh(run_folder / f"mesh.{self.config.format}", mesh, provenance(system))
        keep_record(run_folder, "mesh", {"file": files[0].name, **figures}, phases.seconds)
        log.info("mesh: %s", ", ".join(f"{name} {value}" for name, value in figures.items()))
        return files


def coloured_mesh(system: System, config: MeshExporter.Config, phases: Phases) -> tuple[ColouredMesh, dict[str, Any]]:
    """The surface of a trained density field with its colours, and figures about it by name.

    Raises:
        UserError: the geometry is no density field, it is empty, or it cannot be unwrapped in time.
    """
    surface, figures = closed_surface(system, config, phases)
    normals = vertex_normals(surface.vertices, surface.faces)
    colours = colour_source(system, config.n_photographs, phases)
    if config.colours == "vertices" or config.format == "ply":
        at_vertices = colours.of_vertices(surface.vertices, normals, surface.faces, phases)
        return ColouredMesh(surface.vertices, normals, surface.faces, at_vertices.astype(np.float32)), figures
    mesh, more = _textured(surface, normals, colours, _texture_size(system, config), config.unwrap_limit_s, phases)
    return mesh, {**figures, **more}


def closed_surface(system: System, config: MeshExporter.Config, phases: Phases) -> tuple[Surface, dict[str, Any]]:
    """The closed surface within the budget of faces, and figures about it by name.

    Raises:
        UserError: the geometry is no density field, or it is empty.
    """
    field = system.geometry
    if not isinstance(field, DensityField):
        raise UserError(f"exporter 'mesh' draws density fields; '{field.part_name}' is none")
    resolution = config.resolution or (256 if device_of(field).type == "cuda" else 128)
    with phases.phase("surface"):
        outlines = system.surrounding_cameras(config.n_silhouettes, 2 * system.guidance.latent_size)
        opacity = system.render(outlines).opacity
        raw = extract_surface(field, outlines, opacity, resolution)
        (vertices, faces), n_hidden = without_hidden_pieces(raw.vertices, raw.faces)
    with phases.phase("simplify"):
        vertices, faces = simplified(vertices, faces, config.n_faces)
    agreement = silhouette_iou(silhouettes(vertices, faces, outlines), opacity)
    if agreement < POOR_OUTLINE:
        log.warning(
            "mesh: its silhouettes agree with the rendered ones by %.2f only (intersection over union): the object is "
            "more of a fog than a body; train longer, or raise the weight of sparsity",
            agreement,
        )
    figures = {
        "faces": len(faces),
        "faces_before_simplification": len(raw.faces),
        "components": int(pieces(len(vertices), faces).max()) + 1,
        "watertight": is_closed(faces),
        "floaters_removed": raw.n_floaters,
        "inner_shells_removed": n_hidden,
        "silhouette_iou": round(agreement, 4),
        "threshold": round(raw.threshold, 4),
    }
    return dataclasses.replace(raw, vertices=vertices, faces=faces), figures


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


def _textured(
    surface: Surface, normals: np.ndarray, colours: ColourSource, size: int, limit_s: float, phases: Phases
) -> tuple[ColouredMesh, dict[str, Any]]:
    with phases.phase("unwrap") as bar:
        atlas = unwrap(surface.vertices, surface.faces, size, time_limit_s=limit_s, tell=lambda _: bar.refresh())
    doubled = atlas.vertex_map
    mesh = UnwrappedMesh(surface.vertices[doubled], normals[doubled], atlas.faces, atlas.uv)
    texture = colours.texture(mesh, atlas.height, atlas.width, phases)
    gaps = seam_gaps(mesh.vertices, mesh.faces, mesh.uv, texture)
    figures = {
        "charts": atlas.n_charts,
        "texture": [atlas.width, atlas.height],
        "seam_gap": round(gaps.seams, 5),
        "seam_ratio": round(gaps.ratio, 3),
    }
    return ColouredMesh(mesh.vertices, mesh.normals, mesh.faces, uv=mesh.uv, texture=texture), figures


def _texture_size(system: System, config: MeshExporter.Config) -> int:
    wanted = TEXELS_PER_PIXEL * system.guidance.picture_size
    return config.texture_size or min(max(wanted, SMALLEST_TEXTURE), LARGEST_TEXTURE)
