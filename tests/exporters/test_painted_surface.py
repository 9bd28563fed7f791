"""Doubled vertices, faces that look away; what every corner of a written file keeps."""

from pathlib import Path

import numpy as np
import trimesh

from core.part import Choice
from exporters.painted_surface import looks_away
from geometry.mesh_file import read_mesh
from geometry.textured_mesh import TexturedMesh
from systems.views.orbit import CameraRanges, cameras_everywhere
from tests.exporters.test_painted_mesh import arrays, exported, raw_glb
from tests.geometry.test_textured_mesh import sheet
from tests.systems.small_paint import as_written


def made(path: Path) -> TexturedMesh:
    return Choice.of(TexturedMesh, path=path, texture_size=32).build(3)


def test_an_atlas_doubles_vertices_along_its_seams_alone(tmp_path: Path):
    trimesh.creation.icosphere(subdivisions=2).export(tmp_path / "ball.ply")
    surface = made(tmp_path / "ball.ply")
    written = as_written(surface)
    assert written.uv is not None
    np.testing.assert_array_equal(written.vertices[written.faces], surface.mesh.vertices[surface.mesh.faces])
    np.testing.assert_array_equal(written.uv[written.faces], surface.corner_uv.numpy())
    assert 162 <= len(written.vertices) < 2 * 162
    assert written.faces[0].tolist() == [0, 1, 2], "numbered in the order of the corners"


def test_coordinates_that_a_checkpoint_brought_are_written_with_its_texture(tmp_path: Path):
    """Painted on an atlas, gone on with by a recipe that would have kept the file's own coordinates."""
    path = sheet(tmp_path / "a.obj")
    first, second = (Choice.of(TexturedMesh, path=path, texture_size=32, uv=uv).build(3) for uv in ("atlas", "auto"))
    own = as_written(second)
    assert own.uv is not None
    np.testing.assert_array_equal(own.uv, second.mesh.uv)
    second.load_state_dict(first.state_dict())
    written = as_written(second)
    assert written.uv is not None
    np.testing.assert_array_equal(written.uv[written.faces], first.corner_uv.numpy())
    assert not np.array_equal(written.uv[written.faces], own.uv[own.faces])


def test_faces_turned_over_are_found(tmp_path: Path):
    ball = trimesh.creation.icosphere(subdivisions=2)
    turned = np.arange(len(ball.faces)) % 3 == 0
    ball.faces[turned] = ball.faces[turned][:, ::-1]
    ball.export(tmp_path / "ball.ply")
    cameras = cameras_everywhere(CameraRanges((-80.0, 80.0), (1.25, 1.25), (55.0, 55.0)), 20, 64)
    np.testing.assert_array_equal(looks_away(made(tmp_path / "ball.ply"), cameras), turned)


def seamed_box() -> tuple[str, np.ndarray, np.ndarray]:
    """A box as OBJ, each of its 8 positions with three texture coordinates; and by the lines themselves, corner by
    corner: positions (12 3 3) and places (12 3 2)."""
    rng = np.random.default_rng(0)
    box = trimesh.creation.box()
    points = (np.asarray(box.vertices) + rng.uniform(-0.1, 0.1, (8, 3))).astype(np.float32)
    faces, side = (
        np.asarray(box.faces),
        np.abs(box.face_normals).argmax(axis=1) * 2 + (box.face_normals.sum(axis=1) > 0),
    )
    lines, places, corners = [f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in points.tolist()], [], np.zeros((12, 3), int)
    for number, (face, of) in enumerate(zip(faces, side, strict=True)):
        flat = np.delete(np.asarray(box.vertices), of // 2, axis=1)[face] + 0.5
        for corner, place in enumerate(((flat * 0.8 + 0.1 + [of % 3, of // 3]) / [3, 2]).astype(np.float32).tolist()):
            if place not in places:
                places.append(place)
            corners[number, corner] = places.index(place)
    lines += [f"vt {u:.9g} {v:.9g}" for u, v in places]
    for face, corner in zip(faces, corners, strict=True):
        lines.append("f " + " ".join(f"{i + 1}/{j + 1}" for i, j in zip(face, corner, strict=True)))
    return "\n".join(lines) + "\n", points[faces], np.array(places, np.float32)[corners]


def test_obj_with_seams_comes_back_with_equal_arrays(tmp_path: Path):
    text, positions, places = seamed_box()
    (tmp_path / "box.obj").write_text(text)
    vertices, uv, faces = arrays(exported(tmp_path / "box.obj", tmp_path / "run"))
    np.testing.assert_array_equal(vertices[faces], positions)
    np.testing.assert_array_equal(uv[faces], places)
    written = [
        line for line in (tmp_path / "run" / "mesh.obj").read_text().splitlines() if line[:2] in ("v ", "vt", "f ")
    ]
    assert written == text.split("\n")[: len(written)], "and so do its lines"


def test_obj_with_seams_keeps_every_corner_in_glb(tmp_path: Path):
    """Bit for bit but for v below 1/2, which glTF, counting downward, cannot hold: there it is off by 2^-25 at most."""
    text, positions, places = seamed_box()
    (tmp_path / "box.obj").write_text(text)
    made = exported(tmp_path / "box.obj", tmp_path / "run", format="glb")
    found = raw_glb(made)
    raw = found["TEXCOORD_0"].reshape(-1, 2)[found["indices"]].reshape(12, 3, 2)
    v = places[..., 1].astype(np.float64)
    assert found["POSITION"].reshape(-1, 3)[found["indices"]].tobytes() == positions.tobytes()
    assert raw[..., 0].tobytes() == places[..., 0].tobytes()
    np.testing.assert_array_equal(raw[..., 1], (1 - v).astype(np.float32))
    _, read_uv, read_faces = arrays(made)  # trimesh turns v over again
    ours = read_mesh(made).corner_uv
    assert ours is not None
    for again in (read_uv[read_faces][..., 1], ours[..., 1].astype(np.float32)):
        np.testing.assert_array_equal(again[v >= 0.5], places[..., 1][v >= 0.5])
        assert np.abs(again - v).max() <= 2**-25
    assert (v < 0.5).any()
    assert (v >= 0.5).any()


def test_what_turning_v_over_costs_is_what_is_said():
    """Numbers of every size: exact from 1/2 to 2 and for multiples of 2^-24, else 2^-25 at most within [0, 1]."""
    rng = np.random.default_rng(0)
    fine = (2.0 ** rng.uniform(-30, 0, 100_000)).astype(np.float32)
    coarse = (rng.integers(0, 2**24 + 1, 100_000) * 2.0**-24).astype(np.float32)
    large = rng.uniform(0.5, 2, 100_000).astype(np.float32)
    for v, most in ((fine, 2**-25), (coarse, 0.0), (large, 0.0)):
        written = (1 - v.astype(np.float64)).astype(np.float32)
        assert float(np.abs((1 - written.astype(np.float64)).astype(np.float32) - v.astype(np.float64)).max()) <= most
