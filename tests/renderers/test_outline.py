"""Outlines as an autoencoder encodes them: exact for a linear one, close for the bundled one, silent elsewhere."""

import pytest
import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from core.errors import UserError
from guidance.autoencoder import Autoencoder
from guidance.model_source import find_model
from renderers.mesh import MeshRenderer
from renderers.outline import EncodedOutline
from tests.renderers.test_mesh import Sheet, Wall, cameras

#: Points along each side of a pixel, and pictures' pixels along each side of such a point.
FINER, FINE = 2, 2


def shapes(n: int, size: int, seed: int) -> Tensor:
    """Whether the points of n square pictures lie in a disc or a half plane of their own."""
    rng = Generator().manual_seed(seed)
    x, y = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="xy")
    found = []
    for _ in range(n):
        a, b, r = torch.rand(3, generator=rng).tolist()
        disc = (x - a + 0.5).square() + (y - b + 0.5).square() < (0.3 + 0.4 * r) ** 2
        found.append(disc if r > 0.5 else (x - a) * (b - 0.5) + y * r > 0)
    return torch.stack(found)


def linear_encoder(pictures: Tensor) -> Tensor:
    """Pictures of (n, size, size, 3) to latents of four channels, each of a pixel and its eight neighbours."""
    kernel = torch.randn(4, 3, 6, 6, generator=Generator().manual_seed(3))
    kernel = kernel.repeat_interleave(FINE, 2).repeat_interleave(FINE, 3)
    padded = F.pad(pictures.movedim(-1, 1), (4, 4, 4, 4), mode="replicate")
    return F.conv2d(padded, kernel, stride=4).movedim(1, -1) / 20


def flat(n: int, size: int, seed: int) -> Tensor:
    """Pictures of one colour each."""
    return torch.rand(n, 1, 1, 3, generator=Generator().manual_seed(seed)).expand(n, size, size, 3)


def linear_case(n: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Latents of objects, backgrounds and both of n pictures of 32 pixels, and which points meet the object."""
    hit = shapes(n, 16, seed)
    mask = hit.repeat_interleave(FINE, 1).repeat_interleave(FINE, 2)[..., None]
    objects, backgrounds = flat(n, 32, seed + 100), flat(n, 32, seed + 200)
    both = torch.where(mask, objects, backgrounds)
    return linear_encoder(objects), linear_encoder(backgrounds), linear_encoder(both), hit


def mixed_by_share(objects: Tensor, backgrounds: Tensor, hit: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Foreground, opacity and mixture, as a renderer has them."""
    opacity = F.avg_pool2d(hit[:, None].float(), FINER)[:, 0]
    foreground = objects * opacity[..., None]
    return foreground, opacity, foreground + (1 - opacity[..., None]) * backgrounds


def test_a_linear_encoder_is_learnt_and_holds_for_other_shapes_and_colours():
    """Of a linear encoder the formula says everything; mixing by shares is far off."""
    outline = EncodedOutline(4, FINER)
    explained = outline.fit(*linear_case(200, seed=0))
    assert explained is not None
    assert explained > 0.99
    objects, backgrounds, both, hit = linear_case(20, seed=1)
    foreground, opacity, mixed = mixed_by_share(objects, backgrounds, hit)
    corrected = mixed + outline(foreground, opacity, backgrounds, hit)
    assert float((corrected - both).square().sum()) < 0.02 * float((mixed - both).square().sum())


def test_beside_outlines_nothing_changes_and_before_the_fit_nothing_at_all():
    objects, backgrounds, both, hit = linear_case(40, seed=0)
    foreground, opacity, mixed = mixed_by_share(objects, backgrounds, hit)
    outline = EncodedOutline(4, FINER)
    assert not bool(outline(foreground, opacity, backgrounds, hit).any())
    outline.fit(objects, backgrounds, both, hit)
    corrected = mixed + outline(foreground, opacity, backgrounds, hit)
    near = F.max_pool2d(opacity[:, None], 3, 1, 1) + F.max_pool2d(1 - opacity[:, None], 3, 1, 1) > 1
    changed = (corrected != mixed).any(dim=-1)
    assert bool(changed.any())
    assert not bool((changed & ~near[:, 0]).any())


def test_the_bundled_autoencoder_is_foretold_far_better_than_by_mixing():
    """Fitted to some shapes in patches of colours; asked about other shapes, each of one colour."""
    encode = Autoencoder(find_model("toybox")).encode
    outline = EncodedOutline(4, FINER)

    def case(n: int, seed: int, patches: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        fine = shapes(n, 128, seed)
        rng = Generator().manual_seed(seed)
        objects = F.interpolate(torch.rand(n, 3, patches, patches, generator=rng), (128, 128)).movedim(1, -1)
        backgrounds = flat(n, 128, seed + 1)
        both = torch.where(fine[..., None], objects, backgrounds)
        return encode(objects.contiguous()), encode(backgrounds.contiguous()), encode(both), fine[:, 1::2, 1::2]

    explained = outline.fit(*case(12, 0, 4))
    assert explained is not None
    assert explained > 0.6
    objects, backgrounds, both, hit = case(8, 50, 1)
    foreground, opacity, mixed = mixed_by_share(objects, backgrounds, hit)
    corrected = mixed + outline(foreground, opacity, backgrounds, hit)
    left, before = ((x - both).square().sum() for x in (corrected, mixed))
    assert float(left) < 0.4 * float(before)


def test_the_renderer_shows_outlines_as_they_were_learnt():
    """The corrected picture, from the renderer's own parts; its texture learns through the correction too."""
    surface, views = Sheet(), cameras()
    plain = MeshRenderer(MeshRenderer.Config(), surface)
    encoded = MeshRenderer(MeshRenderer.Config(outline="encoded"), surface)
    before = plain(surface, Wall(), views, Generator())
    assert encoded.outline is not None
    assert torch.equal(encoded(surface, Wall(), views, Generator()).latents, before.latents)
    rng = Generator().manual_seed(0)
    encoded.outline.coefficients.copy_(torch.randn(encoded.outline.coefficients.shape, generator=rng))
    after = encoded(surface, Wall(), views, Generator())
    hit = torch.stack([view.hit for view in encoded.pool.views(surface, views)])
    walls = torch.full_like(before.latents, 5.0)
    lacking = encoded.outline(before.foreground, before.opacity, walls, hit)
    assert torch.equal(after.latents, before.latents + lacking)
    assert torch.equal(after.foreground, before.foreground)
    wanted = torch.randn(after.latents.shape, generator=rng)
    (slope,) = torch.autograd.grad((after.latents * wanted).sum(), surface.scale)
    with torch.no_grad():
        surface.scale[1] += 1e-2
        moved = encoded(surface, Wall(), views, Generator()).latents
        rise = float(((moved - after.latents) * wanted).double().sum() / 1e-2)  # linear in the texture
    assert rise == pytest.approx(float(slope[1]), rel=2e-3)


def test_mixed_precision_makes_outlines_less_exact_and_nothing_else():
    objects, backgrounds, both, hit = linear_case(40, seed=0)
    foreground, opacity, _ = mixed_by_share(objects, backgrounds, hit)
    outline = EncodedOutline(4, FINER)
    outline.fit(objects, backgrounds, both, hit)
    exact = outline(foreground, opacity, backgrounds, hit)
    with torch.autocast("cpu", torch.bfloat16):
        rough = outline(foreground, opacity, backgrounds, hit)
    assert rough.dtype == foreground.dtype
    assert float((rough - exact).abs().max()) < 0.05 * float(exact.abs().max())


def test_where_no_outline_is_in_view_nothing_is_learnt():
    outline, latents = EncodedOutline(4, FINER), torch.ones(2, 8, 8, 4)
    assert outline.fit(latents, latents, latents, torch.zeros(2, 16, 16, dtype=torch.bool)) is None
    assert not bool(outline.is_fitted)


def test_more_points_than_can_be_learnt_are_refused():
    with pytest.raises(UserError, match="points_per_side: from 1 to 4 with outline: encoded, got 5"):
        MeshRenderer.Config(outline="encoded", points_per_side=5)
