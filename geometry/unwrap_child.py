"""Runs xatlas on one mesh: a process of its own, since xatlas cannot be stopped and may end its process.

    python -P geometry/unwrap_child.py mesh.npz atlas.npz padding resolution

It imports nothing of ours: with numpy and xatlas alone it starts in a tenth of a second. It says on stderr what it is
about to do, so that one knows where it was if it has to be stopped.
"""

import os
import sys

import numpy as np
import xatlas

#: About as many faces go into one chart at most: its time grows faster than their number. A smooth ball of 20,000 takes
#: 17 s in six charts and 3.4 s in thirty.
CHART_FACES = 1000


def main(source: str, target: str, padding: str, resolution: str) -> None:
    """Read vertices and faces, write the atlas; UVs as xatlas has them, from 0 to 1 over its own width and height."""
    mesh = np.load(source)
    pack = xatlas.PackOptions()
    pack.padding, pack.resolution, pack.bilinear = int(padding), int(resolution), True
    charts = xatlas.ChartOptions()
    if len(mesh["faces"]) > CHART_FACES:
        charts.max_chart_area = _area(mesh["vertices"], mesh["faces"]) * CHART_FACES / len(mesh["faces"])
    _say("reading the mesh")
    atlas = xatlas.Atlas()
    atlas.add_mesh(mesh["vertices"], mesh["faces"])
    _say("cutting and packing charts")
    atlas.generate(charts, pack)
    _say("writing the atlas")
    vertex_map, faces, uv = atlas[0]
    sizes = np.array([atlas.width, atlas.height, atlas.chart_count, atlas.atlas_count])
    np.savez(target, vertex_map=vertex_map, faces=faces, uv=uv, sizes=sizes)
    # Without taking anything down: xatlas wakes its threads for their end without holding their lock, and waits for
    # ever for one that was just falling asleep.
    os._exit(0)


def _say(stage: str) -> None:
    print(stage, file=sys.stderr, flush=True)


def _area(vertices: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = vertices[faces].astype(np.float64).transpose(1, 0, 2)
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=-1).sum() / 2)


if __name__ == "__main__":
    main(*sys.argv[1:])
