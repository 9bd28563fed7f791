"""Rays against triangles, by Cramer's rule for every pair."""

import numpy as np

from core.rays import RayTracer


def test_the_nearest_face_is_found_from_both_sides_and_where_it_is_met():
    rng = np.random.default_rng(0)
    vertices, faces = rng.uniform(-1, 1, (60, 3)), np.arange(60).reshape(-1, 3)
    origins = rng.uniform(-2, 2, (500, 3))
    directions = rng.uniform(-1.5, 1.5, (500, 3)) - origins
    a, b, c = vertices[faces].transpose(1, 0, 2)
    nearest, face, shares = np.full(500, np.inf), np.full(500, -1), np.zeros((500, 3))
    for ray in range(500):
        sides = np.stack([b - a, c - a, np.broadcast_to(-directions[ray], a.shape)], axis=-1)
        u, v, distance = np.linalg.solve(sides, (origins[ray] - a)[..., None])[..., 0].T
        distance[(np.minimum(u, v) < 0) | (u + v > 1) | (distance < 0)] = np.inf
        if np.isfinite(distance).any():
            face[ray] = distance.argmin()
            nearest[ray] = distance.min()
            shares[ray] = [1 - u[face[ray]] - v[face[ray]], u[face[ray]], v[face[ray]]]
    tracer = RayTracer(vertices, faces)
    hits = tracer.first_hits(origins, directions)
    np.testing.assert_array_equal(hits.face, face)
    np.testing.assert_allclose(hits.barycentric, shares, atol=1e-4)
    np.testing.assert_array_equal(tracer.hits_any(origins, directions), face >= 0)
    assert 100 < (face >= 0).sum() < 400
