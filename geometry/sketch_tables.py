"""What a sketch says of points, exactly and as tables: occupancy from the winding number, distance to its surface.

A table holds two numbers at each vertex of a regular grid over the cube [-half, half]^3:
    distance  d, to the surface, unsigned, in world units.
    level     (1 - 2 |w|) d with the generalised winding number w: below 0 inside, above 0 outside. On a closed surface
              w jumps and the level is the signed distance, so its zero between two vertices lies where the surface
              does; over a hole of an open one d is large and w passes 1/2 smoothly, and the zero lies there.

Source: Barill et al., "Fast Winding Numbers for Soups and Clouds" (2018), as libigl has it; Metzer et al., Latent-NeRF
(arXiv:2211.07600), section 3.3, asks for both numbers anew for every sample of every step.
"""

import logging
import time
from hashlib import sha256
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from scipy import interpolate, ndimage

from core.files import user_cache, whole_file
from geometry.mesh import Mesh

log = logging.getLogger(__name__)

RESOLUTION = 128
#: Cells around the surface within which the tabulated distance is exact.
BAND = 2.0
#: Written into every key: a change of what the tables hold begins a new generation of files.
GENERATION = 1
#: Tables kept on disk, 16 MiB each; the oldest beyond are removed.
MOST_KEPT = 32


def exact_occupancy(mesh: Mesh, points: Float[np.ndarray, "points 3"]) -> Bool[np.ndarray, "points"]:
    """Whether points lie inside: |generalised winding number| > 1/2."""
    import igl

    return np.abs(igl.fast_winding_number(mesh.vertices, mesh.faces, points)) > 0.5


def exact_distance(mesh: Mesh, points: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, "points"]:
    """Distance of points to the surface, at least 0."""
    import igl

    return np.sqrt(igl.point_mesh_squared_distance(points, mesh.vertices, mesh.faces)[0])


def load_table(mesh: Mesh, half: float, resolution: int = RESOLUTION) -> Float[np.ndarray, "n n n 2"]:
    """The table of a mesh, read from the cache, or computed and put there.

    Args:
        half: half of the cube's side, in world units.
        resolution: vertices along each axis, ends included.
    """
    key = sha256(f"{GENERATION} {half!r} {resolution} {BAND!r}".encode())
    key.update(np.ascontiguousarray(mesh.vertices).tobytes() + np.ascontiguousarray(mesh.faces).tobytes())
    path = cache_folder() / f"{key.hexdigest()[:32]}.npy"
    known = _read(path, resolution)
    if known is not None:
        return known
    start = time.monotonic()
    table = make_table(mesh, half, resolution)
    log.info("sketch tabulated: %s faces in %.1f s", f"{len(mesh.faces):,}", time.monotonic() - start)
    _keep(path, table)
    return table


def make_table(mesh: Mesh, half: float, resolution: int = RESOLUTION) -> Float[np.ndarray, "n n n 2"]:
    """Distance and level at the grid's vertices, float32; axes x, y, z.

    Within BAND cells of the surface the distance is exact. Beyond, it is the distance to that point of the surface
    which is closest to the nearest vertex of the band: never too small, and less than half a cell too large.
    """
    import igl

    axis = np.linspace(-half, half, resolution)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    unsigned = igl.SignedDistanceType.SIGNED_DISTANCE_TYPE_UNSIGNED
    reach = BAND * float(axis[1] - axis[0])
    found = igl.signed_distance(points, mesh.vertices, mesh.faces, unsigned, 0.0, reach)
    distance, closest = np.asarray(found[0]), np.asarray(found[2])
    far = np.isnan(distance)  # libigl's word for a distance beyond the bound
    if far.all():
        raise ValueError(f"no vertex of the grid over [-{half:g}, {half:g}]^3 is near the surface")
    shape = (resolution,) * 3
    nearest = ndimage.distance_transform_edt(far.reshape(shape), return_distances=False, return_indices=True)
    owner = np.ravel_multi_index(tuple(np.asarray(nearest)), shape).reshape(-1)[far]
    distance[far] = np.linalg.norm(points[far] - closest[owner], axis=1)
    level = (1 - 2 * np.abs(_winding(mesh, points.reshape(*shape, 3), far.reshape(shape)))) * distance.reshape(shape)
    return np.stack([distance.reshape(shape), level], axis=-1).astype(np.float32)


def _winding(
    mesh: Mesh, points: Float[np.ndarray, "n n n 3"], far: Bool[np.ndarray, "n n n"]
) -> Float[np.ndarray, "n n n"]:
    """Winding numbers of the grid's vertices: of every one near the surface, of every second along each axis elsewhere.

    libigl takes 15 s for all of them where faces are long and thin. Away from the surface the winding number is
    harmonic, and no face comes between a far vertex and the looks around it: they lie within sqrt(3) < BAND cells.
    """
    import igl

    n = len(points)
    kept = np.unique([*range(0, n, 2), n - 1])
    asked = ~far
    asked[np.ix_(kept, kept, kept)] = True
    winding = np.zeros(asked.shape)
    winding[asked] = igl.fast_winding_number(mesh.vertices, mesh.faces, points[asked])
    between = interpolate.RegularGridInterpolator((kept, kept, kept), winding[np.ix_(kept, kept, kept)])
    winding[~asked] = between(np.argwhere(~asked))
    return winding


def cache_folder() -> Path:
    """Where tables are kept: `latent-nerf/sketches` in the user's cache ($XDG_CACHE_HOME, else ~/.cache)."""
    return user_cache() / "sketches"


def _read(path: Path, resolution: int) -> Float[np.ndarray, "n n n 2"] | None:
    try:
        table = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):  # not there, or broken: it is made anew
        return None
    if table.shape != (resolution,) * 3 + (2,) or table.dtype != np.float32 or not np.isfinite(table).all():
        return None
    return table


def _keep(path: Path, table: Float[np.ndarray, "n n n 2"]) -> None:
    try:
        with whole_file(path) as unfinished:
            np.save(unfinished, table)
        by_age = sorted(path.parent.glob("*.npy"), key=lambda file: file.stat().st_mtime, reverse=True)
        for file in by_age[MOST_KEPT:]:
            file.unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s: the sketch's tables cannot be kept (%s); they are made again next time", path.parent, error)
