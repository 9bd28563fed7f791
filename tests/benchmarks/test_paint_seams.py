"""The demand on seams: the canonical object's own pictures, baked, meet it; a texture that is wrong does not."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from benchmarks.canonical import canonical_silhouettes, canonical_views
from benchmarks.paint import neutral_mesh
from benchmarks.paint_seams import seamless
from exporters.painted_surface import seen_mesh
from exporters.projection import Photographs
from exporters.seams import SeamGaps, seam_gaps
from exporters.texture_bake import bake_photographs
from geometry.placement import Placement
from geometry.texels import covered_texels
from geometry.textured_mesh import TexturedMesh
from systems.latent_paint import LatentPaint
from tests.systems.small_paint import as_written, fitting_paint
from toybox.captions import Subject

SIZE = 256


def _painting_of(kind: str, folder: Path) -> LatentPaint:
    """A painting of a canonical mesh that has not begun, with pictures of 64 pixels."""
    placement = Placement(scale=0.5)
    return fitting_paint(neutral_mesh(kind, folder), 3, size=64, geometry={"placement": placement, "texture_size": 64})


def _gaps(system: LatentPaint, texture: np.ndarray) -> SeamGaps:
    assert isinstance(system.geometry, TexturedMesh)
    return seam_gaps(dataclasses.replace(as_written(system.geometry), texture=texture))


def _one_colour_per_chart(system: LatentPaint) -> np.ndarray:
    assert isinstance(system.geometry, TexturedMesh)
    mesh = as_written(system.geometry)
    edges = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).edges
    chart = trimesh.graph.connected_component_labels(edges, node_count=len(mesh.vertices))
    texels = covered_texels(mesh.uv_with(v_down=False), mesh.faces, SIZE, SIZE)
    colours = np.random.default_rng(0).random((chart.max() + 1, 3))
    return np.rint(texels.texture(colours[chart[mesh.faces[texels.face, 0]]]) * 255).astype(np.uint8)


def _true_texture(subject: Subject, system: LatentPaint) -> np.ndarray:
    """The canonical object in training light, baked into a painting's atlas as the painting's views are."""
    cameras = system.surrounding_cameras(16, system.guidance.picture_size).to("cpu")
    pictures, _ = canonical_views(subject, cameras)
    outlines = canonical_silhouettes(subject.kind, cameras).float()
    assert isinstance(system.geometry, TexturedMesh)
    mesh = seen_mesh(system.geometry, cameras)
    return bake_photographs(mesh, Photographs(cameras, pictures, outlines), SIZE, SIZE)


@pytest.mark.parametrize("subject", [Subject("car", "red"), Subject("mug", "pink")], ids=lambda s: s.kind)
def test_true_pictures_bake_seamlessly_and_one_colour_per_chart_does_not(subject: Subject, tmp_path: Path):
    system = _painting_of(subject.kind, tmp_path)
    truth = _gaps(system, _true_texture(subject, system))
    assert truth.n_seams > 20
    assert truth.n_creased_seams > 20
    assert seamless(truth)
    assert not seamless(_gaps(system, _one_colour_per_chart(system)))


def test_a_texture_of_true_pictures_has_the_parts_colours(tmp_path: Path):
    texture = torch.from_numpy(_true_texture(Subject("duck", "orange"), _painting_of("duck", tmp_path))).float() / 255
    red, green, blue = texture.reshape(-1, 3).median(dim=0).values.tolist()
    assert red > green + 0.1 > blue + 0.2, "most of an orange duck is orange"


def test_the_rule_by_hand():
    held = SeamGaps(0.01, 0.002, 100, 0.06, 50, 0.03, 0.002)
    assert seamless(dataclasses.replace(held, all_seams=0.0156))  # 4/255 = 0.0157
    assert not seamless(dataclasses.replace(held, all_seams=0.0158))
    assert seamless(dataclasses.replace(held, all_seams=0.029, all_inner=0.02))  # 1.5 x 0.02
    assert not seamless(dataclasses.replace(held, all_seams=0.031, all_inner=0.02))
