"""Renderings put together."""

import torch

from core.types import RenderOutput
from systems.rendering import joined


def _render(value: float, with_normals: bool) -> RenderOutput:
    flat, picture = torch.full((1, 2, 2), value), torch.full((1, 2, 2, 3), value)
    return RenderOutput(picture, flat, flat, picture if with_normals else None, picture, None)


def test_views_keep_their_order():
    whole = joined([_render(1.0, True), _render(2.0, True)])
    assert whole.latents[:, 0, 0, 0].tolist() == [1, 2]
    assert whole.normals is not None
    assert whole.normals[:, 0, 0, 0].tolist() == [1, 2]
    assert whole.depth.shape == (2, 2, 2)


def test_without_normals_there_are_none():
    assert joined([_render(1.0, False)]).normals is None
