"""`painted-mesh`: the user's mesh with its new texture, in the format that it came in."""

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import UInt8

from core.errors import UserError, require
from core.kinds import Exporter, System
from core.memory import PICTURE, require_size
from exporters.mesh_colour import baked_texture
from exporters.mesh_files import MeshFormat
from exporters.painted_files import PaintedTexture, write_painted
from exporters.painted_surface import seen_mesh, written_mesh
from exporters.phases import Phases, keep_record
from exporters.provenance import shared_notes
from exporters.seams import seam_gaps
from exporters.texture_bake import texture_size
from geometry.gltf_file import Gltf
from geometry.mesh import Mesh
from geometry.source_file import SourceFile
from geometry.texels import covered_texels
from geometry.textured_mesh import TexturedMesh

log = logging.getLogger(__name__)


class PaintedMesh(Exporter, name="painted-mesh"):
    """The painted mesh: its own coordinates, faces and texture coordinates, and a colour texture."""

    @dataclass(frozen=True)
    class Config:
        """Settings of the painted mesh's exporter."""

        format: Literal["same", "glb", "obj", "ply"] = "same"
        """Kind of file; same: as the mesh came, glb where that kind holds no texture. A glTF file that stays one keeps
        all that it holds: only its base colour is exchanged."""
        colours: Literal["views", "atlas"] = "views"
        """`views` bakes decoded views into the texture, `atlas` decodes the latent texture as one picture (the paper),
        which leaves seams where charts meet and shifts colours where the autoencoder normalises over the picture."""
        texture_size: int | None = None
        """Height and width of the colour texture; null: four times the decoded pictures', from 256 to 2048."""
        n_photographs: int = 32
        """Views that are decoded for its colours."""
        provenance: bool = False
        """Whether the prompt and the versions of what made it are written into the mesh's file."""

        def __post_init__(self) -> None:
            size = self.texture_size
            require(size is None or 16 <= size <= 8192, f"texture_size: from 16 to 8192, or null, got {size}")
            require_size("n_photographs", self.n_photographs, self.n_photographs * PICTURE)

    def __init__(self, config: Config) -> None:
        self.config = config

    def accepts(self, system: System) -> str | None:
        """It needs the file of a mesh that has been painted."""
        surface = system.geometry
        return None if isinstance(surface, TexturedMesh) else f"exports textured meshes; '{surface.part_name}' is none"

    def export(self, system: System, run_folder: Path) -> list[Path]:
        """Colour the mesh, write it, and keep what was found in export.json.

        Raises:
            UserError: the geometry is no textured mesh.
        """
        surface = system.geometry
        if not isinstance(surface, TexturedMesh):
            raise UserError(f"exporter 'painted-mesh' writes textured meshes; '{surface.part_name}' is none")
        phases = Phases("painted-mesh")
        texture = colour_texture(system, surface, self.config, phases)
        mesh = dataclasses.replace(written_mesh(surface), texture=texture)
        file = surface.mesh.file
        kind = written_format(self.config.format, file)
        if kind in get_args(MeshFormat)[1:]:
            tell_placement(file)
        painted = PaintedTexture(texture, np.arange(len(mesh.faces)), file.material_of_faces()[0])
        with phases.phase("write"):
            notes = shared_notes(system) if self.config.provenance else {}
            files, changes = write_painted(run_folder / f"mesh.{kind}", surface, [painted], notes)
        gaps = seam_gaps(mesh)
        figures = {
            "file": files[0].name,
            "faces": len(mesh.faces),
            "own_uv": surface.uses_own_uv,
            "texture": [texture.shape[1], texture.shape[0]],
            "seam_gap": round(gaps.seams, 5),
            "inner_gap": round(gaps.inner, 5),
            "creased_seam_gap": round(gaps.creased_seams, 5),
            "seam_ratio": round(gaps.ratio, 3),
            **({"changes": changes} if changes else {}),
        }
        keep_record(run_folder, "painted-mesh", figures, phases.seconds)
        return files


def colour_texture(
    system: System, surface: TexturedMesh, config: PaintedMesh.Config, phases: Phases
) -> UInt8[np.ndarray, "rows columns 3"]:
    """The painting as sRGB, row 0 on top."""
    size = config.texture_size or texture_size(system.guidance.picture_size)
    mesh = seen_mesh(surface, system.surrounding_cameras(config.n_photographs, 2 * system.guidance.latent_size))
    if system.guidance.decodes_pixelwise or config.colours == "atlas":
        return decoded_atlas(system, surface, mesh)
    return baked_texture(system, mesh, size, size, config.n_photographs, phases)


@torch.no_grad()
def decoded_atlas(system: System, surface: TexturedMesh, mesh: Mesh) -> UInt8[np.ndarray, "rows columns 3"]:
    """The texture decoded as one picture; between the charts, the nearest chart's colours.

    Source: Latent-NeRF (arXiv:2211.07600), section 3.4. Of an RGB texture this is the texture itself.
    """
    picture = system.decode(surface.whole_texture()[None])[0].double().cpu().numpy()
    rows, columns, _ = picture.shape
    texels = covered_texels(mesh.uv_with(v_down=False), mesh.faces, rows, columns)
    padded = texels.texture(picture.reshape(-1, 3)[texels.index])
    return np.rint(padded.clip(0, 1) * 255).astype(np.uint8)


def tell_placement(file: SourceFile) -> None:
    """Log that a glTF file's meshes are written where its scene has them, not as the numbers in the file are."""
    if isinstance(file.document, Gltf):
        log.info("%s: written where its nodes and joints place the mesh, in world coordinates", file.path)


def written_format(wanted: str, file: SourceFile) -> str:
    """The format to write; told where it is not the mesh's own."""
    kind = file.kind if wanted == "same" else wanted
    if kind in (*get_args(MeshFormat), "gltf"):
        return kind
    log.info("%s: written as glb, the kind that holds everything in one file, not as %s", file.path, kind)
    return "glb"
