"""Bodies turned outward: what the winding number must be, by hand."""

import numpy as np
import trimesh

from geometry.bodies import encloses_volume, turned_outward
from geometry.mesh import Mesh


def _box(centre: tuple[float, float, float] = (0, 0, 0), size: float = 1.0, inverted: bool = False) -> trimesh.Trimesh:
    box = trimesh.creation.box(extents=(size,) * 3, transform=trimesh.transformations.translation_matrix(centre))
    if inverted:
        box.invert()
    return box


def _together(*bodies: trimesh.Trimesh) -> Mesh:
    first = np.cumsum([0, *(len(body.vertices) for body in bodies[:-1])])
    faces = [np.asarray(body.faces, dtype=np.int64) + offset for body, offset in zip(bodies, first, strict=True)]
    return Mesh(np.concatenate([np.asarray(body.vertices) for body in bodies]), np.concatenate(faces))


def _winding(mesh: Mesh, *point: float) -> float:
    """The winding number by its definition: solid angles of the faces (van Oosterom and Strackee 1983) over 4 pi."""
    a, b, c = (mesh.vertices[mesh.faces] - point).transpose(1, 0, 2)
    la, lb, lc = (np.linalg.norm(side, axis=1) for side in (a, b, c))
    top = np.einsum("ij,ij->i", a, np.cross(b, c))
    bottom = la * lb * lc + (a * b).sum(1) * lc + (b * c).sum(1) * la + (c * a).sum(1) * lb
    return float(2 * np.arctan2(top, bottom).sum() / (4 * np.pi))


def test_a_good_mesh_stays_as_it_is():
    mesh, n_turned = turned_outward(_together(_box(), _box((3, 0, 0))))
    assert n_turned == 0
    np.testing.assert_allclose(
        [_winding(mesh, 0, 0, 0), _winding(mesh, 3, 0, 0), _winding(mesh, 1.5, 0, 0)], [1, 1, 0], atol=1e-9
    )


def test_an_inverted_body_is_turned():
    mesh, n_turned = turned_outward(_together(_box(), _box((0.6, 0, 0), inverted=True)))
    assert n_turned == 12
    assert round(_winding(mesh, 0.3, 0, 0), 9) == 2, "where both overlap they must not cancel"
    assert round(_winding(mesh, 0.9, 0, 0), 9) == 1


def test_a_cavity_stays_a_hollow():
    mesh, n_turned = turned_outward(_together(_box(size=2), _box(size=1, inverted=True)))
    assert n_turned == 0
    assert round(_winding(mesh, 0, 0, 0), 9) == 0
    assert round(_winding(mesh, 0.7, 0, 0), 9) == 1


def test_faces_that_disagree_with_their_neighbours_are_turned():
    box = _together(_box())
    faces = box.faces.copy()
    faces[[2, 7]] = faces[[2, 7], ::-1]
    mesh, n_turned = turned_outward(Mesh(box.vertices, faces))
    assert n_turned == 2
    assert round(_winding(mesh, 0, 0, 0), 9) == 1


def test_an_open_surface_keeps_the_direction_of_most_faces():
    box = _together(_box())
    inward = Mesh(box.vertices, np.concatenate([box.faces[1:2], box.faces[2:, ::-1]]))
    mesh, n_turned = turned_outward(inward)
    assert n_turned == 1
    assert -1 < _winding(mesh, 0, 0, 0) < -0.8, "nothing but its own word says where the inside of an open surface is"


def test_a_soup_of_faces_hangs_together_by_position():
    box = _together(_box(inverted=True))
    soup = Mesh(box.vertices[box.faces].reshape(-1, 3), np.arange(36).reshape(-1, 3))
    mesh, n_turned = turned_outward(soup)
    assert (n_turned, len(mesh.vertices)) == (12, 8)
    assert round(_winding(mesh, 0, 0, 0), 9) == 1


def test_closed_means_that_every_edge_has_two_sides():
    ball = trimesh.creation.icosphere(subdivisions=1)
    mesh = Mesh(ball.vertices, ball.faces.astype(np.int64))
    assert encloses_volume(mesh)
    assert not encloses_volume(Mesh(mesh.vertices, mesh.faces[1:]))
    soup = Mesh(mesh.vertices[mesh.faces].reshape(-1, 3), np.arange(mesh.faces.size).reshape(-1, 3))
    assert encloses_volume(soup), "vertices of their own for each face change nothing"
    turned = Mesh(mesh.vertices, np.concatenate([mesh.faces[:1, ::-1], mesh.faces[1:]]))
    assert not encloses_volume(turned)
