"""A folder of known views for tests: a red ball before white, drawn from its silhouette's closed form."""

import json
import math
from pathlib import Path

import numpy as np
from PIL import Image


def write_ball_views(folder: Path, size: int = 16, n_views: int = 8, radius: float = 0.4) -> Path:
    """Pictures and cameras.json of a ball around the origin, seen from a ring of cameras; gives the folder.

    A camera at distance d sees a ball of radius r as a disc of radius r / sqrt(d^2 - r^2) on the plane at distance 1.
    """
    folder.mkdir(parents=True, exist_ok=True)
    distance, fovy_deg = 1.6, 47.0
    disc = radius / math.sqrt(distance**2 - radius**2) / math.tan(math.radians(fovy_deg) / 2)
    line = (np.arange(size) + 0.5) / size * 2 - 1
    inside = (line[:, None] ** 2 + line[None, :] ** 2) < disc**2
    picture = np.where(inside[..., None], [220, 30, 30], [255, 255, 255]).astype(np.uint8)
    views = []
    for i in range(n_views):
        Image.fromarray(picture).save(folder / f"{i:03d}.png")
        where = {"elevation_deg": 20.0, "azimuth_deg": i * 360 / n_views, "radius": distance, "fovy_deg": fovy_deg}
        views.append({"file": f"{i:03d}.png", **where})
    (folder / "cameras.json").write_text(json.dumps(views))
    return folder
