"""The sketch meshes: what lies in the folder is what the script builds, closed and thick enough."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from geometry.bodies import encloses_volume, turned_outward
from geometry.sketch import load_sketch_mesh
from geometry.sketch_tables import exact_occupancy
from sketches.build import FOLDER, SKETCHES, sketch
from toybox.scenes import build

WHOLE = ("figure", "animal", "chair", "hand", "tower")
PARTIAL = {"half-mug": "mug", "car-without-front": "car", "house-without-roof": "house"}


@pytest.mark.parametrize("name", SKETCHES)
def test_the_file_is_what_the_script_builds(name: str):
    mesh, built = load_sketch_mesh(FOLDER / f"{name}.obj"), sketch(name)
    assert len(mesh.faces) == len(built.faces)
    np.testing.assert_allclose(mesh.vertices[mesh.faces].mean((0, 1)), built.triangles.mean((0, 1)), atol=1e-5)
    assert encloses_volume(mesh)
    assert turned_outward(mesh)[1] == 0
    with Image.open(FOLDER / f"{name}.png") as picture:
        assert picture.size == (192, 192)
        assert np.asarray(picture.convert("L")).std() > 20, "something is on it"


@pytest.mark.parametrize("name", ["figure", "animal", "chair"])
def test_those_of_the_conformity_benchmark_are_thick(name: str):
    """At scale 0.5, each solid that it is built from measures at least 0.15 across."""
    reach = float(np.linalg.norm(sketch(name).vertices - sketch(name).bounds.mean(axis=0), axis=1).max())
    thinnest = [min(solid.bounding_box_oriented.primitive.extents) for solid in SKETCHES[name]()]
    assert min(thinnest) * 0.5 / reach >= 0.15


@pytest.mark.parametrize(("name", "kind"), PARTIAL.items())
def test_partial_ones_are_part_of_their_object(name: str, kind: str):
    mesh = load_sketch_mesh(FOLDER / f"{name}.obj")
    points = torch.rand(20000, 3, generator=torch.Generator().manual_seed(0)).double().numpy() - 0.5
    given = exact_occupancy(mesh, points)
    whole = np.any([part.mesh.contains(points) for part in build(kind).parts], axis=0)
    assert (given & ~whole).sum() <= 0.001 * len(points)
    assert 0.3 < given.sum() / whole.sum() < 0.85


def test_the_readme_shows_all():
    text = (Path(FOLDER) / "README.md").read_text()
    assert all(f"({name}.png)" in text and f"`{name}.obj`" in text for name in SKETCHES)
    assert set(SKETCHES) == {*WHOLE, *PARTIAL}
