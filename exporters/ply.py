"""Writes binary PLY with colours at the vertices, or with a texture in a file beside it.

Source: Turk, The PLY polygon file format (1994). A texture has no settled place in it; s and t at the vertices and a
comment `TextureFile` are what MeshLab, Blender and trimesh read.
"""

from pathlib import Path

import numpy as np

from core.files import whole_file
from exporters.coloured_mesh import ColouredMesh
from exporters.glb import png_bytes


def write_ply(path: Path, mesh: ColouredMesh, notes: list[str]) -> list[Path]:
    """Write a mesh with the picture that it names, each whole or not at all; the mesh comes last.

    Args:
        notes: lines that the file carries as comments.
    """
    pictures: list[Path] = []
    if mesh.texture is not None:
        pictures = [path.with_suffix(".png")]
        with whole_file(pictures[0]) as unfinished:
            unfinished.write_bytes(png_bytes(mesh.texture))
    layout: list[tuple[str, str]] = [(name, "<f4") for name in ("x", "y", "z")]
    columns = [*mesh.vertices.astype(np.float32).T]
    if mesh.normals is not None:
        layout += [(name, "<f4") for name in ("nx", "ny", "nz")]
        columns += [*mesh.normals.astype(np.float32).T]
    if mesh.uv is not None:
        layout += [(name, "<f4") for name in ("s", "t")]
        columns += [*mesh.uv.astype(np.float32).T]
    if mesh.colours is not None:
        layout += [(name, "u1") for name in ("red", "green", "blue")]
        columns += [*np.rint(mesh.colours.clip(0, 1) * 255).astype(np.uint8).T]
    vertices = np.empty(len(mesh.vertices), dtype=layout)
    for (name, _), column in zip(layout, columns, strict=True):
        vertices[name] = column
    faces = np.empty(len(mesh.faces), dtype=[("n", "u1"), ("corners", "<i4", 3)])
    faces["n"], faces["corners"] = 3, mesh.faces
    words = {"<f4": "float", "u1": "uchar"}
    header = [
        "ply",
        "format binary_little_endian 1.0",
        *(f"comment TextureFile {picture.name}" for picture in pictures),
        *(f"comment {note}" for note in notes),
        f"element vertex {len(vertices)}",
        *(f"property {words[kind]} {name}" for name, kind in layout),
        f"element face {len(faces)}",
        "property list uchar int vertex_indices",
        "end_header",
    ]
    with whole_file(path) as unfinished:
        unfinished.write_bytes("\n".join(header).encode("ascii") + b"\n" + vertices.tobytes() + faces.tobytes())
    return [path, *pictures]
