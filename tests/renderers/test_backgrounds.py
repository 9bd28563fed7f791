"""Backgrounds: which colours they ask for, which views get which, and that chance comes from the generator alone."""

from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from core.errors import UserError
from core.types import LinearColour
from renderers.backgrounds import (
    PLAIN_COLORS,
    DirectionalBackground,
    NoBackground,
    RandomColor,
    SolidColor,
    frequency_encoding,
)

BANK = torch.arange(3.0)[:, None, None, None].expand(3, 4, 4, 2) + torch.arange(4.0)[:, None, None] * 0.1


def directions(n_views: int, size: int = 4) -> Tensor:
    rng = Generator().manual_seed(0)
    return torch.nn.functional.normalize(torch.randn(n_views, size, size, 3, generator=rng), dim=-1)


def random_color(**settings: Any) -> RandomColor:
    made = RandomColor(RandomColor.Config(**settings), 2)
    made.set_bank(BANK)
    return made


def test_each_view_shows_one_whole_map_and_all_maps_come() -> None:
    shown = random_color()(directions(200), Generator().manual_seed(0))
    chosen = [next(i for i in range(3) if torch.equal(view, BANK[i])) for view in shown]
    counts = [chosen.count(i) for i in range(3)]
    assert min(counts) > 45, "a third of 200 views each, give or take"


def test_chance_comes_from_the_generator_alone() -> None:
    made = random_color()
    first = made(directions(20), Generator().manual_seed(4))
    torch.manual_seed(99)
    assert torch.equal(first, made(directions(20), Generator().manual_seed(4)))
    assert not torch.equal(first, made(directions(20), Generator().manual_seed(5)))


def test_validation_shows_the_preview_and_draws_nothing() -> None:
    made, rng = random_color(preview=1).eval(), Generator().manual_seed(0)
    before = rng.get_state()
    assert torch.equal(made(directions(5), rng), BANK[1].expand(5, 4, 4, 2))
    assert torch.equal(rng.get_state(), before)


def test_other_sizes_are_interpolated() -> None:
    shown = random_color(preview=2).eval()(directions(1, size=8), Generator())
    assert shown.shape == (1, 8, 8, 2)
    rows = shown[0, :, 0, 0] - 2.0  # halfway between pixel centres, held at the border
    torch.testing.assert_close(rows, torch.tensor([0.0, 0.025, 0.075, 0.125, 0.175, 0.225, 0.275, 0.3]))


def test_the_palette_is_the_recipes_else_the_models_else_plain() -> None:
    known = torch.tensor([[0.1, 0.2, 0.3]])
    plain = RandomColor(RandomColor.Config(), 4)
    assert torch.equal(plain.palette(known), known)
    assert torch.equal(plain.palette(), torch.tensor(PLAIN_COLORS))
    named = RandomColor(RandomColor.Config(colors=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))), 4)
    assert named.palette(known).tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    assert SolidColor(SolidColor.Config(color=(0.0, 0.5, 1.0)), 4).palette(known).tolist() == [[0.0, 0.5, 1.0]]


def test_solid_is_the_same_behind_every_view() -> None:
    made = SolidColor(SolidColor.Config(), 2)
    made.set_bank(BANK[1:2])
    assert torch.equal(made(directions(3), Generator()), BANK[1].expand(3, 4, 4, 2))


def test_a_bank_is_part_of_the_state_whatever_its_size() -> None:
    fresh = RandomColor(RandomColor.Config(), 2)
    fresh.load_state_dict(random_color().state_dict())
    assert torch.equal(fresh.bank, BANK)


def test_a_background_without_its_bank_says_what_is_missing() -> None:
    for made in (SolidColor(SolidColor.Config(), 2), RandomColor(RandomColor.Config(), 2)):
        with pytest.raises(RuntimeError, match=rf"'{made.part_name}' has no colours yet: call encode_colours"):
            made(directions(1), Generator())
    with pytest.raises(ValueError, match=r"expected \(at least 1, rows, columns, 2\), got \(3, 4, 4, 5\)"):
        made.set_bank(torch.zeros(3, 4, 4, 5))


def test_colours_out_of_range_are_refused() -> None:
    with pytest.raises(UserError, match=r"^color: red, green and blue from 0 to 1, got \(255.0, 0.0, 0.0\)"):
        SolidColor.Config(color=(255.0, 0.0, 0.0))
    with pytest.raises(UserError, match=r"^colors: red, green and blue"):
        RandomColor.Config(colors=((0.5, 0.5, -0.1),))


def test_frequency_encoding_of_a_hand_worked_direction() -> None:
    half_pi = torch.pi / 2
    encoded = frequency_encoding(torch.tensor([[half_pi, 0.0, 0.0]]), 2)
    expected = [half_pi, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, -1, 1, 1]
    torch.testing.assert_close(encoded, torch.tensor([expected]), atol=1e-6, rtol=0)


def test_directional_learns_to_tell_up_from_down() -> None:
    torch.manual_seed(0)
    made = DirectionalBackground(DirectionalBackground.Config(learning_rate=0.02), 2)
    rays = directions(4, size=8)
    target = rays[..., 1:2].sign().expand(4, 8, 8, 2)
    optimizer = torch.optim.Adam(made.parameter_groups())
    losses = []
    for _ in range(60):
        loss = (made(rays, Generator()) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    assert optimizer.param_groups[0]["lr"] == 0.02


def test_each_colour_is_encoded_as_a_flat_picture() -> None:
    """By an encoder that halves the size and gives red, and red times green."""
    seen: list[Tensor] = []

    def encode(pictures: Tensor) -> Tensor:
        seen.append(pictures)
        small = pictures[:, ::2, ::2]
        return torch.stack([small[..., 0], small[..., 0] * small[..., 1]], dim=-1)

    made = RandomColor(RandomColor.Config(), 2)
    made.encode_colours(encode, 8, torch.tensor([[0.5, 0.25, 1.0], [1.0, 0.5, 0.0]]), torch.device("cpu"))
    assert [tuple(pictures.shape) for pictures in seen] == [(2, 8, 8, 3)]
    assert made.bank.shape == (2, 4, 4, 2)
    assert made.bank[:, 3, 1].tolist() == [[0.5, 0.125], [1.0, 0.5]]


def test_nothing_is_behind_no_background() -> None:
    assert torch.equal(NoBackground(5)(directions(2), Generator()), torch.zeros(2, 4, 4, 5))


def test_a_learnt_background_begins_with_another_ones_colours() -> None:
    """Its network after the layer: rgb = (M z + b + 1) / 2; a flat one has learnt nothing to begin with."""
    torch.manual_seed(0)
    config = DirectionalBackground.Config()
    latents, colours = DirectionalBackground(config, 4), DirectionalBackground(config, 3)
    layer = LinearColour(torch.randn(3, 4), torch.randn(3))
    colours.start_from(latents, layer)
    rays = directions(2)
    torch.testing.assert_close(colours(rays, Generator()), layer.rgb(latents(rays, Generator())))
    before = colours(rays, Generator())
    colours.start_from(random_color())
    assert torch.equal(colours(rays, Generator()), before)
    with pytest.raises(UserError, match=r"^--from: the run does not fit .* size mismatch"):
        colours.start_from(latents)
