"""Closed solids that the toy objects are put together from. Lengths are in the object's own units; +y is up."""

from collections.abc import Sequence

import numpy as np
import shapely
import trimesh

Vector = Sequence[float]
Parts = list[tuple[str, trimesh.Trimesh, str]]  # name, closed solid, paint: what an object's builder returns
_SEGMENTS = 32


def box(centre: Vector, size: Vector) -> trimesh.Trimesh:
    """An axis-aligned box of this full size."""
    return trimesh.creation.box(extents=size, transform=trimesh.transformations.translation_matrix(centre))


def ball(centre: Vector, radius: float | Vector) -> trimesh.Trimesh:
    """A ball, or an ellipsoid where `radius` gives one half-axis per axis."""
    mesh = trimesh.creation.icosphere(subdivisions=3)
    mesh.vertices = mesh.vertices * np.asarray(radius) + np.asarray(centre)
    return mesh


def rod(start: Vector, end: Vector, radius: float, round_ends: bool = False) -> trimesh.Trimesh:
    """A cylinder between two points; round ends make it a capsule (its ends then reach beyond the points)."""
    rod = trimesh.creation.cylinder(radius=radius, segment=[start, end], sections=_SEGMENTS)
    if not round_ends:
        return rod
    return trimesh.boolean.union([rod, ball(start, radius), ball(end, radius)], engine="manifold")


def cylinder(centre: Vector, radius: float, height: float) -> trimesh.Trimesh:
    """An upright cylinder."""
    half = np.array([0, height / 2, 0])
    return rod((np.asarray(centre) - half).tolist(), (np.asarray(centre) + half).tolist(), radius)


def cone(start: Vector, end: Vector, start_radius: float, end_radius: float) -> trimesh.Trimesh:
    """A cone cut off at both ends: a closed solid of revolution around the line from start to end."""
    length = float(np.linalg.norm(np.subtract(end, start)))
    profile = [(0, 0), (start_radius, 0), (end_radius, length), (0, length)]
    return _turned(profile, start, end)


def dome(centre: Vector, radius: float, height: float, hollow: float = 0.0) -> trimesh.Trimesh:
    """The upper half of an ellipsoid, or a shell of it of thickness `hollow`."""
    angles = np.linspace(0, np.pi / 2, 13)
    outer = np.stack([radius * np.cos(angles), height * np.sin(angles)], axis=1)
    inner = [(0.0, 0.0)]
    if hollow:
        inner = np.stack([(radius - hollow) * np.cos(angles), (height - hollow) * np.sin(angles)], axis=1)[
            ::-1
        ].tolist()
    outer[-1, 0] = 0.0
    inner[0] = (0.0, inner[0][1])
    return _turned([*outer.tolist(), *inner, tuple(outer[0])], centre, np.add(centre, [0, 1, 0]).tolist(), closed=True)


def cup(radius: float, height: float, wall: float) -> trimesh.Trimesh:
    """An upright cup around the origin, open at the top, walls and floor of this thickness."""
    low, high = -height / 2, height / 2
    profile = [
        (0, low),
        (radius, low),
        (radius, high),
        (radius - wall, high),
        (radius - wall, low + wall),
        (0, low + wall),
    ]
    return _turned(profile, [0, 0, 0], [0, 1, 0])


def ring(centre: Vector, radius: float, thickness: float) -> trimesh.Trimesh:
    """A torus that lies flat; `thickness` is the radius of its tube."""
    mesh = trimesh.creation.torus(radius, thickness, major_sections=48, minor_sections=20)
    mesh.apply_transform(trimesh.transformations.rotation_matrix(-np.pi / 2, [1, 0, 0]))
    mesh.apply_translation(centre)
    return mesh


def wheel(centre: Vector, radius: float, width: float) -> trimesh.Trimesh:
    """A cylinder whose axis is x."""
    half = np.array([width / 2, 0, 0])
    return rod((np.asarray(centre) - half).tolist(), (np.asarray(centre) + half).tolist(), radius)


def prism(outline: Sequence[tuple[float, float]], depth: float) -> trimesh.Trimesh:
    """An outline in (x, y) drawn out along z, centred in z."""
    mesh = trimesh.creation.extrude_polygon(shapely.Polygon(outline), depth, engine="earcut")
    mesh.apply_translation([0, 0, -depth / 2])
    return mesh


def sheet(corners: Sequence[Vector]) -> trimesh.Trimesh:
    """The convex hull of these points: fins, sails, wedges."""
    return trimesh.convex.convex_hull(np.asarray(corners, dtype=float))


def _turned(profile: Sequence[Vector], start: Vector, end: Vector, closed: bool = False) -> trimesh.Trimesh:
    """A profile of (radius, height) turned around the axis from `start` toward `end`."""
    outline = [tuple(point) for point in profile]
    mesh = trimesh.creation.revolve(np.array(outline), sections=_SEGMENTS)
    mesh.merge_vertices()
    if mesh.volume < 0:
        mesh.invert()
    axis = np.subtract(end, start) / np.linalg.norm(np.subtract(end, start))
    mesh.apply_transform(trimesh.geometry.align_vectors([0, 0, 1], axis))
    mesh.apply_translation(start)
    return mesh
