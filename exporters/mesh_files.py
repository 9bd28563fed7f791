"""A finished mesh as files of a chosen format."""

import json
from pathlib import Path
from typing import Any, Literal

from exporters.coloured_mesh import ColouredMesh
from exporters.glb import write_glb
from exporters.obj import write_obj
from exporters.ply import write_ply

MeshFormat = Literal["glb", "obj", "ply"]
COMMENT_LENGTH = 200


def write_mesh(path: Path, mesh: ColouredMesh, extras: dict[str, Any]) -> list[Path]:
    """Write a mesh in the format that the path's suffix says, and give the file with all that it names.

    Args:
        path: ends in .glb, .obj or .ply.
        extras: what travels along: `asset.extras` of a GLB, elsewhere comments that are JSON when they are joined.
    """
    if path.suffix == ".obj":
        return write_obj(path, mesh, comment_lines(extras))
    if path.suffix == ".ply":
        return write_ply(path, mesh, comment_lines(extras))
    return [write_glb(path, mesh, extras)]


def comment_lines(extras: dict[str, Any]) -> list[str]:
    """JSON in pieces: readers of these formats take lines of some hundred letters only, and ASCII."""
    text = json.dumps(extras, ensure_ascii=True, separators=(",", ":"))
    return [text[first : first + COMMENT_LENGTH] for first in range(0, len(text), COMMENT_LENGTH)]
