"""A folder of meshes, each painted by a real command: what is said of good ones, broken ones, and wrong results."""

import shutil
from pathlib import Path

import pytest

from benchmarks.own_files import difference, examined, main, mesh_files
from core.errors import UserError
from tests.geometry.gltf_builder import GltfBuilder

BOX = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 1 4 3\n"


def test_all_meshes_below_a_folder_are_found(tmp_path: Path):
    for name in ("b.OBJ", "deep/er/a.ply", "a.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert [path.name for path in mesh_files(tmp_path)] == ["b.OBJ", "a.ply"]
    with pytest.raises(UserError, match="no such folder; give one that holds meshes"):
        list(mesh_files(tmp_path / "none"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BOX, None),
        (BOX.replace("v 1 0 0", "v 1.1 0 0"), "its area was 2.36603 by trimesh, and is 2.5"),
        (BOX.replace("v ", "v 5"), "its bounds were (0, 0, 0) to (1, 1, 1) by trimesh, and are (50, "),
    ],
)
def test_other_areas_and_bounds_are_seen(tmp_path: Path, text: str, told: str | None):
    (tmp_path / "a.obj").write_text(BOX)
    (tmp_path / "b.obj").write_text(text)
    found = difference(tmp_path / "a.obj", tmp_path / "b.obj")
    assert found is None if told is None else (found or "").startswith(told)


def test_what_trimesh_cannot_read_is_not_compared(tmp_path: Path):
    (tmp_path / "a.obj").write_text(BOX)
    (tmp_path / "a.off").write_text("nothing")
    assert difference(tmp_path / "a.off", tmp_path / "a.obj") is None
    assert (difference(tmp_path / "a.obj", tmp_path / "a.off") or "").startswith("trimesh could read it")
    builder = GltfBuilder()
    builder.tree["meshes"] = [{"primitives": [builder.square()]}]
    (tmp_path / "no scene.glb").write_bytes(builder.glb())
    assert difference(tmp_path / "no scene.glb", tmp_path / "a.obj") is None


def test_a_folder_that_is_none(capsys: pytest.CaptureFixture[str]):
    assert main(["/nowhere"]) == 2
    assert capsys.readouterr().err.startswith("error: /nowhere: no such folder")


@pytest.mark.slow
def test_a_good_file_and_a_broken_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "my box #1.obj").write_text(BOX)
    (tmp_path / "broken.obj").write_text(BOX + "f 1 2 99\n")
    assert main([str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "painted  my box #1.obj" in said
    assert "refused  broken.obj" in said
    assert "face indices out of range" in said
    assert said.endswith("1 painted, 1 refused, 0 wrong\n")
    shutil.rmtree(tmp_path)
    assert examined(tmp_path / "gone.obj", "gone.obj", 300).outcome == "refused"
