"""Writes Wavefront OBJ, with a material file and a picture where the mesh has a texture.

OBJ has no normative text; what is written here is what Blender, MeshLab and trimesh agree on: v upward, sRGB pictures,
colours of vertices behind their positions.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.files import whole_file
from exporters.coloured_mesh import ColouredMesh
from exporters.glb import png_bytes

MATERIAL = "matte"


def write_obj(path: Path, mesh: ColouredMesh, notes: list[str]) -> list[Path]:
    """Write a mesh with the files that it names, each whole or not at all; the mesh comes last.

    Args:
        notes: lines that the file carries as comments.
    """
    lines = [f"# {note}" for note in notes]
    written: list[Path] = []
    if mesh.texture is not None:
        picture, material = path.with_suffix(".png"), path.with_suffix(".mtl")
        _write(picture, png_bytes(mesh.texture))
        _write(material, f"newmtl {MATERIAL}\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {picture.name}\n".encode("ascii"))
        lines.append(f"mtllib {material.name}")
        written = [material, picture]
    placed = mesh.vertices if mesh.colours is None else np.concatenate([mesh.vertices, mesh.colours], axis=1)
    lines += _rows("v", placed)
    lines += _rows("vt", mesh.uv) if mesh.uv is not None else []
    lines += _rows("vn", mesh.normals) if mesh.normals is not None else []
    if mesh.texture is not None:
        lines.append(f"usemtl {MATERIAL}")
    corner = _corner(mesh)
    lines += ["f " + " ".join(corner.format(int(vertex) + 1) for vertex in face) for face in mesh.faces]
    _write(path, ("\n".join(lines) + "\n").encode("ascii"))
    return [path, *written]


def _corner(mesh: ColouredMesh) -> str:
    """How a face names a corner: vertex/uv/normal, all by the same number."""
    if mesh.normals is None:
        return "{0}" if mesh.uv is None else "{0}/{0}"
    return "{0}//{0}" if mesh.uv is None else "{0}/{0}/{0}"


def _rows(word: str, values: NDArray) -> list[str]:
    # Nine digits bring every float32 back as it was.
    return [f"{word} " + " ".join(f"{value:.9g}" for value in row) for row in values.astype(np.float32).tolist()]


def _write(path: Path, content: bytes) -> None:
    with whole_file(path) as unfinished:
        unfinished.write_bytes(content)
