"""A finished mesh as files: GLB, Wavefront OBJ or binary PLY.

Why OBJ and PLY are not written by trimesh: every number comes back as it was, which trimesh's fixed count of digits
does not promise, and the notes and the texture's name travel along, which it leaves out of PLY. OBJ has no normative
text, and a texture has no settled place in PLY (Turk, 1994): v upward, sRGB pictures, colours of vertices behind their
positions; s and t at the vertices and a comment `TextureFile` are what Blender, MeshLab and trimesh read.
"""

import json
import re
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from core.files import write_whole
from exporters.glb import Texture, glb_bytes, png_bytes, textures_of
from geometry.mesh import Mesh

MeshFormat = Literal["glb", "obj", "ply"]
COMMENT_LENGTH = 200
MATERIAL = "matte"


def write_mesh(path: Path, mesh: Mesh, extras: dict[str, Any], textures: Sequence[Texture] = ()) -> list[Path]:
    """Write a mesh in the format that the path's suffix says, each file whole or not at all; the mesh comes last.

    Args:
        path: ends in .glb, .obj or .ply.
        mesh: with a colour at each vertex, or with texture coordinates and a texture.
        textures: in place of the mesh's one; PLY holds one.
        extras: what travels along: `asset.extras` of a GLB, elsewhere comments that are JSON when they are joined.

    Returns:
        The mesh's file, and those that it names.
    """
    textures = textures_of(mesh, textures)
    if (mesh.colours is None) == (not textures) or (mesh.uv is None and textures):
        raise ValueError("a mesh is written with a colour at each vertex, or with a texture and places in it")
    pictures = picture_names(path.stem, [one.name for one in textures])
    beside: dict[str, bytes] = {}
    if path.suffix != ".glb":
        beside = {name: png_bytes(one.picture) for name, one in zip(pictures, textures, strict=True)}
    if path.suffix == ".obj":
        library = f"{path.stem}.mtl"
        beside = {library: _library(textures, pictures), **beside} if textures else {}
        content = _obj(mesh, comment_lines(extras), library, textures)
    elif path.suffix == ".ply":
        content = _ply(mesh, comment_lines(extras), *pictures)
    else:
        content = glb_bytes(mesh, extras, textures)
    for name, written in [*reversed(beside.items()), (path.name, content)]:
        write_whole(path.parent / name, written)
    return [path, *(path.parent / name for name in beside)]


def picture_names(stem: str, materials: Sequence[str]) -> list[str]:
    """Names for the pictures of materials, all different, in letters that every program and file system reads alike."""
    names = list[str]()
    taken = set[str]()
    for material in materials:
        name = plain = stem + ("-" + re.sub(r"[^\w.-]+", "_", material, flags=re.ASCII) if material else "")
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{plain}-{number}"
        taken.add(name.casefold())
        names.append(f"{name}.png")
    return names


def comment_lines(extras: dict[str, Any]) -> list[str]:
    """JSON in pieces: readers of these formats take lines of some hundred letters only, and ASCII."""
    text = "" if not extras else json.dumps(extras, ensure_ascii=True, separators=(",", ":"))
    return [text[first : first + COMMENT_LENGTH] for first in range(0, len(text), COMMENT_LENGTH)]


def _library(textures: Sequence[Texture], pictures: Sequence[str]) -> bytes:
    described = zip(textures, pictures, strict=True)
    text = (f"newmtl {_in_a_line(one)}\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {name}\n" for one, name in described)
    return "".join(text).encode()


def _in_a_line(texture: Texture) -> str:
    """Its material's name for OBJ; other formats allow anything in it."""
    return " ".join(texture.name.split()) or MATERIAL


def _obj(mesh: Mesh, notes: list[str], library: str, textures: Sequence[Texture]) -> bytes:
    lines = [f"# {note}" for note in notes]
    lines += [f"mtllib {library}"] if textures else []
    placed = _shortest_exact(mesh.vertices)
    lines += _rows("v", placed if mesh.colours is None else np.concatenate([placed, mesh.colours], axis=1))
    # A face names a corner as vertex/uv/normal, all by the same number.
    corner = "{0}" if mesh.normals is None else "{0}//{0}"
    if textures:
        lines += _rows("vt", mesh.uv_with(v_down=False).astype(np.float32))
        corner = "{0}/{0}" if mesh.normals is None else "{0}/{0}/{0}"
    lines += _rows("vn", mesh.normals) if mesh.normals is not None else []
    shown = np.full(len(mesh.faces), -1)
    for number, one in enumerate(textures):
        shown[one.faces] = number
    for face, number, before in zip(mesh.faces, shown, [-1, *shown[:-1]], strict=True):
        lines += [f"usemtl {_in_a_line(textures[number])}"] if number != before else []
        lines.append("f " + " ".join(corner.format(int(vertex) + 1) for vertex in face))
    return ("\n".join(lines) + "\n").encode()


def _rows(word: str, values: NDArray[Any]) -> list[str]:
    # Nine digits bring every float32 back as it was, Python's own shortest ones every float64.
    digits = ".9g" if values.dtype == np.float32 else ""
    return [f"{word} " + " ".join(format(value, digits) for value in row) for row in values.tolist()]


def _shortest_exact(vertices: NDArray[Any]) -> NDArray[Any]:
    """As float32 where that changes no number."""
    with np.errstate(over="ignore"):
        single = vertices.astype(np.float32)
    return single if np.array_equal(single, vertices, equal_nan=True) else vertices


def _ply(mesh: Mesh, notes: list[str], picture: str | None = None) -> bytes:
    from plyfile import PlyData, PlyElement

    placed = _shortest_exact(mesh.vertices)
    columns: dict[str, NDArray[Any]] = dict(zip("xyz", placed.T, strict=True))
    if mesh.normals is not None:
        columns |= zip(("nx", "ny", "nz"), mesh.normals.astype("<f4").T, strict=True)
    if picture is not None:
        columns |= zip("st", mesh.uv_with(v_down=False).astype("<f4").T, strict=True)
    if mesh.colours is not None:
        bytes_of = np.rint(mesh.colours.clip(0, 1) * 255).astype(np.uint8)
        columns |= zip(("red", "green", "blue"), bytes_of.T, strict=True)
    vertices = np.empty(len(placed), [(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        vertices[name] = column
    faces = np.empty(len(mesh.faces), [("vertex_indices", "<i4", (3,))])
    faces["vertex_indices"] = mesh.faces
    comments = [*([f"TextureFile {picture}"] if picture is not None else []), *notes]
    elements = [PlyElement.describe(vertices, "vertex"), PlyElement.describe(faces, "face")]
    file = BytesIO()
    PlyData(elements, byte_order="<", comments=comments).write(file)
    return file.getvalue()
