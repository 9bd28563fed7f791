"""`painted-mesh`: the user's mesh with its new texture, in the format that it came in."""

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from core.errors import require
from core.kinds import Exporter, System
from core.memory import PICTURE, require_size
from exporters.mesh_files import MeshFormat
from exporters.painted_colours import Division, painted_textures
from exporters.painted_files import new_uv, write_painted
from exporters.painted_surface import written_mesh
from exporters.phases import Phases, keep_record
from exporters.provenance import shared_notes
from exporters.seams import seam_gaps
from exporters.texture_bake import texture_size
from geometry.gltf_file import Gltf
from geometry.source_file import SourceFile
from geometry.texture_sets import TextureSet
from geometry.textured_mesh import TexturedMesh

log = logging.getLogger(__name__)


class PaintedMesh(Exporter, name="painted-mesh"):
    """The painted mesh: its own coordinates, faces and texture coordinates, and a colour texture."""

    takes = TexturedMesh
    writes = ("mesh.*",)

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

    config: Config

    def export(self, system: System, run_folder: Path) -> list[Path]:
        """Colour the mesh, write it, and keep what was found in export.json."""
        surface = system.geometry
        assert isinstance(surface, TexturedMesh)  # as `takes` says
        phases = Phases("painted-mesh")
        size = self.config.texture_size or texture_size(system.guidance.picture_size)
        from_views = self.config.colours == "views" and not system.guidance.decodes_pixelwise
        file = surface.mesh.file
        kind = written_format(self.config.format, file)
        if kind in get_args(MeshFormat)[1:]:
            tell_placement(file)
        divided = division(kind, file, surface.sets)
        textures = painted_textures(system, surface, size, self.config.n_photographs, from_views, divided, phases)
        with phases.phase("write"):
            notes = shared_notes(system) if self.config.provenance else {}
            files, changes = write_painted(run_folder / f"mesh.{kind}", surface.mesh, textures, notes)
        largest = max(textures, key=lambda texture: len(texture.faces))
        mesh = written_mesh(surface.mesh, new_uv(surface.mesh, textures))
        mesh = mesh if len(largest.faces) == len(mesh.faces) else mesh.with_faces(mesh.faces[largest.faces])
        gaps = seam_gaps(dataclasses.replace(mesh, texture=largest.picture))
        rows, columns, _ = largest.picture.shape
        figures = {
            "file": files[0].name,
            "faces": len(surface.mesh.faces),
            "own_uv": all(texture.corner_uv is None for texture in textures),
            "texture": [columns, rows],
            "seam_gap": round(gaps.seams, 5),
            "inner_gap": round(gaps.inner, 5),
            "creased_seam_gap": round(gaps.creased_seams, 5),
            "seam_ratio": round(gaps.ratio, 3),
            **({"textures": {one.name: one.picture.shape[0] for one in textures}} if len(textures) > 1 else {}),
            **({"changes": changes} if changes else {}),
        }
        keep_record(run_folder, "painted-mesh", figures, phases.seconds)
        return files


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


def division(kind: str, file: SourceFile, sets: Sequence[TextureSet]) -> Division:
    """How a file of this format holds these textures, beside what is not painted; told where it cannot hold several."""
    if kind == file.kind or (kind in ("glb", "gltf") and isinstance(file.document, Gltf)):
        if kind != "ply" or not any(each.tile for each in sets):
            return "own"
    elif kind != "ply":
        return "all"
    if len(sets) > 1:
        log.info("%s: its %d textures are written as one, in a new atlas: PLY holds no more", file.path, len(sets))
    return "one"
