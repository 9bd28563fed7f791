"""Flattens a surface into a texture atlas: xatlas in a child process that can be watched and stopped.

Words used here:
    chart   a patch of the surface that is flattened in one piece; its border is a seam.
    UV      a place in the texture: u to the right, v upward, from (0, 0) at the lower left to (1, 1). OBJ and OpenGL
            have it so; glTF counts v downward.
    texel   a pixel of the texture.
"""

import logging
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from core.errors import UserError, require
from geometry.mesh import Mesh, area_vectors

log = logging.getLogger(__name__)

CHILD = Path(__file__).with_name("unwrap_child.py")
#: Seconds between two looks at the child, and between two words on how long one has waited.
POLL_SECONDS, TELL_SECONDS = 0.2, 10.0
#: Largest side of the bounding box in which xatlas sees every mesh: its tolerances are absolute numbers, below which a
#: face or a chart counts as nothing.
SEEN_EXTENT = 100.0


@dataclass(frozen=True)
class Atlas:
    """The texture that charts were packed into."""

    width: int
    """Texels: about what was asked for, more where charts are many."""
    height: int
    n_charts: int
    seconds: float
    """What it took."""


def unwrap(
    mesh: Mesh,
    resolution: int,
    padding: int = 4,
    max_faces: int = 200_000,
    time_limit_s: float = 120.0,
) -> tuple[Mesh, Atlas]:
    """Cut a surface into charts and pack them without overlaps. Its position and scale do not matter.

    Returns:
        The mesh with texture coordinates, v upward: its faces in their order, its vertices doubled along seams so that
        each has one place in the texture.

    Args:
        resolution: wanted height and width of the texture, in texels.
        padding: texels between charts, so that a filtered look into one never meets another.
        max_faces: more are refused, since the time grows faster than their number.
        time_limit_s: the child is stopped after so many seconds.

    Raises:
        UserError: too many faces, vertices that are not finite, faces without area, or the child ran out of time.
    """
    require(resolution >= 16, f"unwrap: a texture of at least 16 texels, got {resolution}")
    faces = mesh.faces
    if len(faces) > max_faces:
        raise UserError(
            f"unwrap: {len(faces):,} faces, at most {max_faces:,} can be unwrapped in reasonable time; simplify first"
        )
    vertices = _brought_near(mesh)
    _check(vertices, faces)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="unwrap-") as folder:
        source, target = Path(folder) / "mesh.npz", Path(folder) / "atlas.npz"
        np.savez(source, vertices=vertices.astype(np.float32), faces=faces.astype(np.uint32))
        command = [sys.executable, "-P", CHILD, source, target, str(padding), str(resolution)]
        _wait_for(command, len(faces), time_limit_s)
        made = {name: array.copy() for name, array in np.load(target).items()}
    width, height, n_charts, n_atlases = (int(size) for size in made["sizes"])
    if n_atlases != 1:
        raise UserError(f"unwrap: the charts took {n_atlases} textures instead of one; ask for a larger texture")
    index, corners = made["vertex_map"].astype(np.int64), made["faces"].astype(np.int64).reshape(-1, 3)
    uv = made["uv"].astype(np.float32).clip(0, 1)
    unwrapped = replace(mesh.with_vertices(index, corners), uv=uv, v_down=False)
    return unwrapped, Atlas(width, height, n_charts, time.monotonic() - start)


def _brought_near(mesh: Mesh) -> Float[np.ndarray, "vertices 3"]:
    """The same shape around the origin, its box SEEN_EXTENT wide, in float64: float32 is too coarse far away."""
    used = mesh.corners.reshape(-1, 3)
    if not used.size or not np.isfinite(used).all():
        return mesh.vertices  # told by _check
    low, high = used.min(axis=0), used.max(axis=0)
    widest = float((high - low).max())
    near = mesh.vertices.astype(np.float64) - (low / 2 + high / 2)
    return near * (SEEN_EXTENT / widest) if widest > 0 else near


def _check(vertices: Float[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"]) -> None:
    if len(faces) == 0:
        raise UserError("unwrap: the mesh has no faces")
    if not np.isfinite(vertices).all():
        raise UserError("unwrap: the mesh has vertices that are not finite (NaN or infinity)")
    if not area_vectors(vertices[faces]).any():
        raise UserError("unwrap: none of the mesh's faces has an area")


def _wait_for(command: list[str | Path], n_faces: int, time_limit_s: float) -> None:
    start, told_s = time.monotonic(), 0.0
    # One thread for numpy, which has nothing to compute there: the child starts twice as fast.
    alone = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=alone
    )
    try:
        status, said = None, b""
        while status is None:
            elapsed = time.monotonic() - start
            if elapsed > time_limit_s:
                break
            if elapsed - told_s > TELL_SECONDS:
                told_s = elapsed
                log.info("unwrapping %s faces, %.0f s so far", f"{n_faces:,}", elapsed)
            try:
                _, said = child.communicate(timeout=min(POLL_SECONDS, time_limit_s))
                status = child.returncode
            except subprocess.TimeoutExpired:
                continue
    finally:
        child.kill()  # does nothing to one that has ended; else neither Ctrl-C nor the limit leaves it behind
        rest = child.communicate()[1]
    last = ((said or rest).decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
    if status is None:
        raise UserError(
            f"unwrap: xatlas has not finished {n_faces:,} faces within {time_limit_s:g} s (last: {last}); "
            "allow fewer faces or more time"
        )
    if status != 0:
        raise UserError(f"unwrap: xatlas ended with status {status} on {n_faces:,} faces: {last}")
