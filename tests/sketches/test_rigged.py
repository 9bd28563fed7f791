"""The rigged robot: the file is what the script builds, it moves as its bones say, and painted it moves alike."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geometry.gltf_container import container, parsed
from geometry.gltf_file import Gltf
from geometry.mesh import Mesh
from geometry.mesh_file import read_mesh
from sketches.rigged import BONES, FOLDER, NAMES, limbs, robot_glb
from tests.artefacts import keep
from tests.exporters.test_gltf_in_place import painted

FILE = FOLDER / "robot.glb"


#: Run by Blender: the names in a file. Debian's add-on knows the numpy of its time only.
NAMES_OF = """
import bpy, json, numpy, sys
numpy.bool = bool
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.import_scene.gltf(filepath=sys.argv[-1])
kinds = ("objects", "meshes", "materials", "actions", "armatures", "shape_keys")
print("names", json.dumps({kind: sorted(each.name for each in getattr(bpy.data, kind)) for kind in kinds}))
"""


def posed(path: Path, animation: str, moment: int, into: Path) -> Mesh:
    """The mesh at one of an animation's key frames."""
    gltf = parsed(path.read_bytes(), path)
    tree: dict[str, Any] = gltf.tree
    (played,) = [each for each in tree["animations"] if each["name"] == animation]
    for channel in played["channels"]:
        sampler, target = played["samplers"][channel["sampler"]], channel["target"]
        value = gltf.array(sampler["output"])[moment].astype(float).tolist()
        tree["nodes"][target["node"]][target["path"]] = value
    into.write_bytes(container(tree, gltf.chunks))
    return read_mesh(into)


def test_the_file_is_what_the_script_builds():
    content = robot_glb()
    built, kept = parsed(content, FILE), parsed(FILE.read_bytes(), FILE)
    assert built.tree == kept.tree
    for index in range(len(built.tree["accessors"])):
        np.testing.assert_allclose(built.array(index).astype(float), kept.array(index).astype(float), atol=1e-6)
    assert len(content) < 50_000


def test_its_limbs_are_closed_and_look_outward():
    for limb in limbs():
        limb.mesh.merge_vertices(merge_norm=True)
        assert limb.mesh.is_watertight
        assert limb.mesh.volume > 0


def test_at_rest_it_stands_as_it_was_built():
    mesh = read_mesh(FILE)
    np.testing.assert_allclose(mesh.vertices, np.concatenate([limb.mesh.vertices for limb in limbs()]), atol=1e-6)


def test_the_forearm_turns_about_the_elbow(tmp_path: Path):
    """At its second key frame `wave` turns the right arm by -140 degrees about z, and the forearm by -40 more."""
    rest, waving = read_mesh(FILE), posed(FILE, "wave", 1, tmp_path / "a.glb")
    joint = parsed(FILE.read_bytes(), FILE).array(2)
    weight = parsed(FILE.read_bytes(), FILE).array(3)
    moved = (joint[:, 1] == NAMES.index("forearm right")) & (weight[:, 1] == 1)
    shoulder, elbow = np.array(BONES["arm right"][1]), np.array(BONES["forearm right"][1])

    def turned(points: np.ndarray, about: np.ndarray, degrees: float) -> np.ndarray:
        s, c = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
        return (points - about) @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]).T + about

    expected = turned(turned(rest.vertices[moved], elbow, -40), shoulder, -140)
    assert moved.sum() > 20
    np.testing.assert_allclose(waving.vertices[moved], expected, atol=1e-5)


@pytest.mark.parametrize(("animation", "moment"), [("walk", 1), ("walk", 3), ("wave", 2)])
def test_painted_it_plays_alike(tmp_path: Path, animation: str, moment: int):
    """Its vertices are doubled along the seams of a new atlas, and still go where bones and eyelids take them."""
    mesh, _, _ = painted(FILE, "atlas", tmp_path / "mesh.glb")
    keep(tmp_path / "mesh.glb", "robot.glb")
    document = mesh.file.document
    assert isinstance(document, Gltf)
    before = posed(FILE, animation, moment, tmp_path / "a.glb")
    after = posed(tmp_path / "mesh.glb", animation, moment, tmp_path / "b.glb")
    np.testing.assert_array_equal(after.corners, before.corners)
    assert not np.allclose(before.corners, mesh.corners)
    assert len(after.vertices) > len(before.vertices)
    assert after.uv is not None


@pytest.mark.slow
def test_blender_finds_the_same_names(tmp_path: Path):
    if shutil.which("blender") is None:
        pytest.skip("Blender is not installed (apt install blender python3-numpy)")
    painted(FILE, "atlas", tmp_path / "mesh.glb")
    (tmp_path / "names.py").write_text(NAMES_OF)
    command = ["blender", "--background", "--python", tmp_path / "names.py", "--"]
    said = [
        subprocess.run([*command, file], capture_output=True, text=True, check=True).stdout
        for file in (FILE, tmp_path / "mesh.glb")
    ]
    before, after = (json.loads(next(line[6:] for line in each.splitlines() if line[:6] == "names ")) for each in said)
    assert before == after
    assert before["armatures"] == ["Skeleton"]
    assert {name.split("_")[0] for name in before["actions"]} == {"walk", "wave"}
