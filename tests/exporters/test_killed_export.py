"""An export that is killed leaves the old file or the new one, never half of one."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import trimesh

from exporters.mesh_files import write_mesh
from geometry.mesh import Mesh

ROOT = Path(__file__).parents[2]
KILLS = 12


def ball(level: float) -> Mesh:
    """Large enough that its writing takes a while."""
    mesh = trimesh.creation.icosphere(subdivisions=5)
    vertices = np.asarray(mesh.vertices, np.float32)
    return Mesh(vertices, np.asarray(mesh.faces), vertices, colours=np.full_like(vertices, level))


def write_for_ever(folder: Path) -> None:
    """Two meshes under one name, by turns; says when the first is there."""
    meshes = [ball(0.2), ball(0.8)]
    for turn in range(10**9):
        for suffix in ("glb", "obj", "ply"):
            write_mesh(folder / f"mesh.{suffix}", meshes[turn % 2], {"turn": turn % 2})
        if turn == 1:
            print("ready", flush=True)


@pytest.mark.fault("kill -9 while a mesh is written over another", "each file is the old one or the new one, whole")
def test_whenever_it_is_killed_each_file_is_whole(tmp_path: Path) -> None:
    whole: dict[str, set[bytes]] = {}
    for suffix in ("glb", "obj", "ply"):
        for turn in range(2):
            path, *_ = write_mesh(tmp_path / "whole" / f"mesh.{suffix}", ball((0.2, 0.8)[turn]), {"turn": turn})
            whole.setdefault(path.name, set()).add(path.read_bytes())
    code = f"from tests.exporters.test_killed_export import *; write_for_ever(Path({str(tmp_path)!r}))"
    rng = random.Random(0)
    for _ in range(KILLS):
        child = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(rng.uniform(0, 0.4))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        for name, contents in whole.items():
            assert (tmp_path / name).read_bytes() in contents
