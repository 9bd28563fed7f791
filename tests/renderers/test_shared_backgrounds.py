"""Flat backgrounds of views that belong together, and of pictures in several sizes."""

import torch
from torch import Generator, Tensor

from renderers.backgrounds import RandomColor, SolidColor

BANK = torch.arange(3.0)[:, None, None, None].expand(3, 4, 4, 2)


def _directions(n_views: int, size: int = 4) -> Tensor:
    return torch.nn.functional.normalize(torch.ones(n_views, size, size, 3), dim=-1)


def _framed(rgb: Tensor) -> Tensor:
    """Pictures to latents of half their size whose border has a number of its own, as encoders make it: the size."""
    latents = rgb[:, ::2, ::2, :2].clone()
    latents[:, 0], latents[:, -1] = len(rgb[0]), len(rgb[0])
    return latents


def test_views_of_an_object_share_their_colour_and_objects_do_not():
    made = RandomColor(RandomColor.Config(), 2)
    made.set_bank(BANK)
    made.n_together = 4
    shown = made(_directions(400), Generator().manual_seed(0))[:, 0, 0, 0].view(100, 4)
    assert (shown == shown[:, :1]).all()
    counts = [int((shown[:, 0] == colour).sum()) for colour in range(3)]
    assert min(counts) > 20, "a third of 100 objects each, give or take"


def test_each_size_has_been_encoded_for_itself():
    """A border interpolated from another size would be neither 8 nor 12 wide pictures' own."""
    for made in (RandomColor(RandomColor.Config(), 2), SolidColor(SolidColor.Config(), 2)):
        made.encode_colours(_framed, 16, None, torch.device("cpu"), [8, 12])
        for size in (4, 6, 8):
            shown = made(_directions(3, size), Generator().manual_seed(0))
            assert shown.shape == (3, size, size, 2)
            assert (shown[:, 0] == 2 * size).all()
            assert (shown[:, 1:-1] <= 1).all()


def test_a_checkpoint_holds_the_models_own_size_alone():
    made = RandomColor(RandomColor.Config(), 2)
    made.encode_colours(_framed, 16, None, torch.device("cpu"), [8])
    assert [tuple(value.shape[1:3]) for value in made.state_dict().values()] == [(8, 8)]
