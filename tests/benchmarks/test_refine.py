"""The benchmark of the RGB stage: sharpness by hand, and its floors."""

import dataclasses

import pytest
import torch

from benchmarks.refine import Look, floors, sharpness


def test_a_ramp_is_as_sharp_as_it_is_steep():
    ramp = 0.02 * torch.arange(16.0).expand(1, 16, 16)[..., None].expand(1, 16, 16, 3)
    everywhere = torch.ones(1, 16, 16, dtype=torch.bool)
    assert sharpness(ramp, everywhere) == pytest.approx(0.02, rel=1e-4)
    assert sharpness(ramp.transpose(1, 2), everywhere) == pytest.approx(0.02, rel=1e-4)
    assert sharpness(ramp, ~everywhere) == 0


def test_the_objects_outline_does_not_count():
    inside = torch.zeros(1, 16, 16, dtype=torch.bool)
    inside[:, 4:12, 4:12] = True
    picture = inside[..., None].float().expand(1, 16, 16, 3)
    assert sharpness(picture, inside) == 0


def test_a_blurred_picture_is_less_sharp():
    picture = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    blurred = torch.nn.functional.avg_pool2d(picture, 3, 1, 1)
    everywhere = torch.ones(2, 32, 32, dtype=torch.bool)
    assert sharpness(blurred.movedim(1, -1), everywhere) < 0.6 * sharpness(picture.movedim(1, -1), everywhere)


BEFORE, AFTER = Look(5, 0.2, 0.6), Look(6, 0.15, 0.9)


@pytest.mark.parametrize(
    ("changes", "fallen"),
    [
        ({"votes": 4}, 0),
        ({"colour_error": 0.21}, 1),
        ({"sharpness": 0.5}, 2),
        ({"sharpness": 0.6}, 2),
        ({"sharpness": 1.31}, 3),
    ],
)
def test_each_demand_falls_alone(changes: dict, fallen: int):
    assert all(floor.met for floor in floors([(BEFORE, AFTER)]))
    found = floors([(BEFORE, dataclasses.replace(AFTER, **changes))])
    assert [i for i, floor in enumerate(found) if not floor.met] == [fallen]
