"""Records of tensors: they move together, and their shapes are checked together."""

import pytest
import torch
from jaxtyping import TypeCheckError

from core.types import Cameras, GuidanceOutput, RaySamples, RenderOutput


def cameras(n_views: int = 3) -> Cameras:
    zeros = torch.zeros(n_views)
    return Cameras(torch.eye(4).repeat(n_views, 1, 1), zeros + 45.0, zeros, torch.arange(float(n_views)), 8, 6)


def test_to_moves_every_tensor_and_records_within_records() -> None:
    picture = torch.zeros(2, 4, 4)
    five = torch.zeros(5)
    samples = RaySamples(torch.zeros(5, 3), five, torch.zeros(5, dtype=torch.int64), five, five)
    latents = torch.zeros(2, 4, 4, 4)
    moved = RenderOutput(latents, picture, picture, None, latents, samples).to("meta")
    assert moved.latents.device.type == moved.opacity.device.type == "meta"
    assert moved.samples is not None
    assert moved.samples.ray_index.device.type == "meta"
    assert moved.normals is None
    output = GuidanceOutput(torch.tensor(0.0), {"t": torch.tensor(0.5)}).to("meta")
    assert output.metrics["t"].device.type == "meta"


def test_cameras_are_cut_and_resized_without_losing_anything() -> None:
    part = cameras()[1:].resized(16, 12)
    assert len(part) == 2
    assert part.azimuth_deg.tolist() == [1.0, 2.0]
    assert (part.height, part.width) == (16, 12)


def test_shapes_that_disagree_are_refused_under_the_test_hook() -> None:
    with pytest.raises(TypeCheckError):
        Cameras(torch.eye(4).repeat(3, 1, 1), torch.zeros(2), torch.zeros(3), torch.zeros(3), 8, 8)


def test_records_are_frozen() -> None:
    with pytest.raises(AttributeError):
        cameras().height = 9  # pyright: ignore[reportAttributeAccessIssue]


def _render(value: float, with_normals: bool) -> RenderOutput:
    flat, picture = torch.full((1, 2, 2), value), torch.full((1, 2, 2, 3), value)
    return RenderOutput(picture, flat, flat, picture if with_normals else None, picture, None)


def test_renderings_are_joined_in_their_order() -> None:
    whole = RenderOutput.joined([_render(1.0, True), _render(2.0, True)])
    assert whole.latents[:, 0, 0, 0].tolist() == [1, 2]
    assert whole.normals is not None
    assert whole.normals[:, 0, 0, 0].tolist() == [1, 2]
    assert whole.depth.shape == (2, 2, 2)
    assert RenderOutput.joined([_render(1.0, False)]).normals is None
