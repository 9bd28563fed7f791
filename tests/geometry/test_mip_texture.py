"""Texture lookups: box means, ramps, repetition, and no aliasing."""

import torch

from geometry.mip_texture import mip_levels, sample_mip


def _random(size: int, channels: int = 2) -> torch.Tensor:
    return torch.rand(size, size, channels, generator=torch.Generator().manual_seed(0))


def _centre(row: int, column: int, size: int) -> torch.Tensor:
    return torch.tensor([[(column + 0.5) / size, 1 - (row + 0.5) / size]])


def test_levels_are_means_of_blocks():
    texture = _random(16)
    levels = mip_levels(texture)
    assert [level.shape[0] for level in levels] == [16, 8, 4, 2, 1]
    torch.testing.assert_close(levels[2][1, 3], texture[4:8, 12:16].mean(dim=(0, 1)))
    torch.testing.assert_close(levels[-1][0, 0], texture.mean(dim=(0, 1)))


def test_a_texels_centre_shows_the_texel_and_a_blocks_centre_the_block():
    texture = _random(16)
    for row, column in ((0, 0), (15, 3), (7, 12)):
        seen = sample_mip(texture, _centre(row, column, 16), torch.tensor([0.01]))
        torch.testing.assert_close(seen[0], texture[row, column])
    seen = sample_mip(texture, _centre(1, 2, 4), torch.tensor([0.25]))
    torch.testing.assert_close(seen[0], texture[4:8, 8:12].mean(dim=(0, 1)))


def test_a_ramp_stays_a_ramp_between_texels():
    line = (torch.arange(32) + 0.5) / 32
    texture = torch.stack([line.expand(32, 32), (1 - line)[:, None].expand(32, 32)], dim=-1)  # u and v themselves
    uv = 0.3 + 0.4 * torch.rand(200, 2, generator=torch.Generator().manual_seed(1))
    for footprint in (1e-4, 0.06, 0.11):
        torch.testing.assert_close(sample_mip(texture, uv, torch.full((200,), footprint)), uv, atol=1e-5, rtol=0)


def test_it_repeats():
    texture, rng = _random(8), torch.Generator().manual_seed(2)
    uv, footprint = torch.rand(100, 2, generator=rng), torch.rand(100, generator=rng)
    expected = sample_mip(texture, uv, footprint)
    for shift in (torch.tensor([1.0, 0.0]), torch.tensor([-2.0, 3.0])):
        torch.testing.assert_close(sample_mip(texture, uv + shift, footprint), expected, atol=1e-5, rtol=1e-5)


def test_between_levels_it_is_between_their_values():
    texture, uv = _random(16), torch.tensor([[0.37, 0.61]])
    one, two = (sample_mip(texture, uv, torch.tensor([side / 16])) for side in (2.0, 4.0))
    between = sample_mip(texture, uv, torch.tensor([2**1.25 / 16]))
    torch.testing.assert_close(between, 0.75 * one + 0.25 * two)


def test_a_fine_pattern_from_afar_is_grey():
    board = ((torch.arange(128)[:, None] + torch.arange(128)) % 2).float()[..., None]
    uv = torch.rand(500, 2, generator=torch.Generator().manual_seed(3))
    near = sample_mip(board, uv, torch.full((500,), 1 / 512))
    afar = sample_mip(board, uv, torch.full((500,), 6 / 128))
    assert float((near - 0.5).abs().mean()) > 0.1
    assert float((afar - 0.5).abs().max()) < 1e-5


def test_gradients():
    texture = _random(4, 1).double().requires_grad_()
    rng = torch.Generator().manual_seed(4)
    uv, footprint = torch.rand(7, 2, generator=rng).double(), torch.rand(7, generator=rng).double()
    assert torch.autograd.gradcheck(lambda values: sample_mip(values, uv, footprint), (texture,))


def test_the_gradient_of_a_mean_reaches_every_texel_of_the_block():
    texture = _random(8, 1).requires_grad_()
    sample_mip(texture, _centre(1, 1, 2), torch.tensor([0.5])).sum().backward()
    assert texture.grad is not None
    torch.testing.assert_close(texture.grad[4:, 4:, 0], torch.full((4, 4), 1 / 16))
    assert float(texture.grad[:4].abs().sum()) == 0
