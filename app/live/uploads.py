"""Meshes that visitors send: kept in a folder beside the runs, under names that this program gives."""

import os
import shutil
from hashlib import sha256
from pathlib import Path

from app.live.server import LARGEST_UPLOAD
from app.live.strangers import is_inside
from app.run_folder import slug
from core.errors import UserError
from core.files import write_whole
from geometry.mesh_file import read_mesh

UPLOADS = "uploads"
#: Of all meshes that are kept, in bytes.
MOST_KEPT = 2**30
#: A glTF file of text alone needs others beside it; a GLB holds everything.
FORMATS = (".glb", ".obj", ".ply", ".stl", ".off")


def keep_upload(out: Path, name: str, content: bytes) -> Path:
    """Write a mesh that a visitor has sent, and read it once, so that what is wrong with it is told now.

    Args:
        out: the folder of the runs.
        name: as the browser says; only its last piece and its ending count.

    Raises:
        UserError: too large, of another kind, or no readable mesh; nothing is kept then.
    """
    if len(content) > LARGEST_UPLOAD:
        raise UserError(f"a mesh of at most {LARGEST_UPLOAD >> 20} MiB is taken, this one has {len(content) >> 20}")
    clean = name.replace("\\", "/").rpartition("/")[2]
    ending = os.path.splitext(clean)[1].lower()
    if ending not in FORMATS:
        raise UserError(f"'{clean[-40:]}': a mesh comes as {', '.join(FORMATS)}")
    folder = out / UPLOADS / sha256(content).hexdigest()[:16]
    path = folder / f"{slug(clean[: -len(ending)]) or 'mesh'}{ending}"
    if not is_inside(path, out):
        raise UserError("the folder for meshes leads out of the folder of the runs; nothing is kept there")
    kept = sum(file.lstat().st_size for file in (out / UPLOADS).glob("*/*"))
    if kept + len(content) > MOST_KEPT:
        raise UserError(f"meshes of {MOST_KEPT >> 20} MiB are kept here, and no more; ask for some to be removed")
    write_whole(path, content)
    try:
        read_mesh(path)
    except BaseException:
        shutil.rmtree(folder)
        raise
    return path
