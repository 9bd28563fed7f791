"""`mesh`: mesh.glb, mesh.obj or mesh.ply: a closed surface with the colours that the model decodes."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from core.cameras import camera_rays
from core.errors import require
from core.kinds import DensityField, Exporter, System, device_of
from core.memory import PICTURE, require_memory, require_size
from core.rays import RayTracer
from core.types import Cameras
from exporters.mesh_colour import baked_texture, colours_at_vertices
from exporters.mesh_files import MeshFormat, write_mesh
from exporters.normals import smooth_normals
from exporters.phases import Phases, keep_record
from exporters.provenance import shared_notes
from exporters.seams import seam_gaps
from exporters.texture_bake import texture_size
from geometry.isosurface import OPAQUE, density_volume, find_threshold, marching_cubes
from geometry.mesh import Mesh
from geometry.placement import placed
from geometry.simplify import simplified
from geometry.surface_pieces import is_closed, pieces, without_hidden_pieces
from geometry.unwrap import unwrap

log = logging.getLogger(__name__)

#: Below this silhouette IoU a warning is logged.
POOR_OUTLINE = 0.8


class MeshExporter(Exporter, name="mesh"):
    """The mesh of a density field: threshold found by silhouettes, colours from decoded views in a texture."""

    takes = DensityField
    writes = ("mesh.*",)

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
        frame: Literal["input", "field"] = "input"
        """Coordinates of the written mesh: those of the sketch that the shape follows, where it follows one, or the
        field's own."""
        provenance: bool = False
        """Whether the prompt and the versions of what made it are written into the mesh's file."""

        def __post_init__(self) -> None:
            require_size("n_faces", self.n_faces, 0, least=100)
            for name in ("n_silhouettes", "n_photographs"):
                require_size(name, getattr(self, name), getattr(self, name) * PICTURE)
            for name, least, power in (("resolution", 8, 3), ("texture_size", 16, 2)):
                given = getattr(self, name)
                require(given is None or given >= least, f"{name}: at least {least} or null, got {given}")
                require_memory(name, given, 16 * (given or 0) ** power)
            require(
                0 < self.unwrap_limit_s < 1e6, f"unwrap_limit_s: above 0, below a million, got {self.unwrap_limit_s:g}"
            )
            require(
                self.format != "ply" or self.colours != "texture",
                "colours: PLY files hold no texture; use 'vertices', or the format glb or obj",
            )

    config: Config

    def export(self, system: System, run_folder: Path) -> list[Path]:
        """Extract the surface, colour it, write it, and keep what was found in export.json.

        Raises:
            UserError: the field is empty, or its surface cannot be unwrapped in time.
        """
        phases = Phases("mesh")
        mesh, figures = coloured_mesh(system, self.config, phases)
        matrix = system.to_input if self.config.frame == "input" else None
        figures |= {"frame": "field"} if matrix is None else {"frame": "input", "field_to_file": matrix.tolist()}
        mesh = mesh if matrix is None else placed(mesh, matrix)
        notes = shared_notes(system) if self.config.provenance else {}
        with phases.phase("write"):
            files = write_mesh(run_folder / f"mesh.{self.config.format}", mesh, notes)
        keep_record(run_folder, "mesh", {"file": files[0].name, **figures}, phases.seconds)
        log.info("mesh: %s", ", ".join(f"{name} {value}" for name, value in figures.items()))
        return files


def coloured_mesh(system: System, config: MeshExporter.Config, phases: Phases) -> tuple[Mesh, dict[str, Any]]:
    """The surface of a trained density field with its colours, and figures about it by name.

    Raises:
        UserError: the geometry is no density field, it is empty, or it cannot be unwrapped in time.
    """
    mesh, figures = closed_surface(system, config, phases)
    mesh = replace(mesh, normals=smooth_normals(mesh))
    if config.colours == "vertices" or config.format == "ply":
        colours = colours_at_vertices(system, mesh, config.n_photographs, phases)
        return replace(mesh, colours=colours.astype(np.float32)), figures
    size = config.texture_size or texture_size(system.guidance.picture_size)
    with phases.phase("unwrap"):
        mesh, atlas = unwrap(mesh, size, time_limit_s=config.unwrap_limit_s)
    texture = baked_texture(system, mesh, atlas.height, atlas.width, config.n_photographs, phases)
    mesh = replace(mesh, texture=texture)
    gaps = seam_gaps(mesh)
    figures |= {
        "charts": atlas.n_charts,
        "texture": [atlas.width, atlas.height],
        "seam_gap": round(gaps.seams, 5),
        "seam_ratio": round(gaps.ratio, 3),
    }
    return mesh, figures


def closed_surface(system: System, config: MeshExporter.Config, phases: Phases) -> tuple[Mesh, dict[str, Any]]:
    """The closed surface within the budget of faces, its threshold found from silhouettes, and figures by name.

    Raises:
        UserError: the field is empty.
    """
    field = system.geometry
    assert isinstance(field, DensityField)  # as `takes` says
    resolution = config.resolution or (256 if device_of(field).type == "cuda" else 128)
    with phases.phase("surface"):
        outlines = system.surrounding_cameras(config.n_silhouettes, 2 * system.guidance.latent_size)
        opacity = system.render(outlines).opacity
        volume = density_volume(field, resolution)
        threshold = find_threshold(volume, field.bound, outlines, opacity)
        raw, n_floaters = marching_cubes(volume, field.bound, threshold)
        seen, n_hidden = without_hidden_pieces(raw)
    with phases.phase("simplify"):
        mesh = simplified(seen, config.n_faces)
    agreement = silhouette_iou(silhouettes(mesh, outlines), opacity)
    if agreement < POOR_OUTLINE:
        log.warning(
            "mesh: its silhouettes agree with the rendered ones by %.2f only (intersection over union): the object is "
            "more of a fog than a body; train longer, or raise the weight of the loss opacity-entropy",
            agreement,
        )
    return mesh, {
        "faces": len(mesh.faces),
        "faces_before_simplification": len(raw.faces),
        "components": int(pieces(mesh.faces).max()) + 1,
        "watertight": is_closed(mesh.faces),
        "floaters_removed": n_floaters,
        "inner_shells_removed": n_hidden,
        "silhouette_iou": round(agreement, 4),
        "threshold": round(threshold, 4),
    }


def silhouettes(mesh: Mesh, cameras: Cameras) -> Bool[np.ndarray, "views height width"]:
    """Pixels whose central ray hits the mesh."""
    rays = camera_rays(cameras.to("cpu"))
    origins, directions = (each.reshape(-1, 3).numpy() for each in (rays.origins, rays.directions))
    hit = RayTracer(mesh.vertices, mesh.faces).hits_any(origins, directions)
    return hit.reshape(len(cameras), cameras.height, cameras.width)


def silhouette_iou(mesh: Bool[np.ndarray, "views height width"], opacity: Float[Tensor, "views height width"]) -> float:
    """Pixels that both call object over those that either does, all views together."""
    opaque = (opacity > OPAQUE).cpu().numpy()
    return float((mesh & opaque).sum() / max(1, (mesh | opaque).sum()))
