"""The autoencoder's start, its losses, and the folding of its normalisation."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from toybox.area_mean import SLOPE, area_means
from toybox.autoencoder import (
    AutoencoderSettings,
    autoencoder_loss,
    fold_normalisation,
    picture_loss,
    train_autoencoder,
)
from toybox.data import BufferStore, render_buffers
from toybox.networks import new_vae
from toybox.world import load_world

FEW_STEPS = AutoencoderSettings(steps=8, batch=2, rate=3e-4, fine_from=1.0, exact_from=0.0, save_every=4)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("buffers")
    render_buffers(folder, views_per_kind=2, size=128, seed=5)
    return BufferStore(folder)


def test_area_means_by_hand():
    picture = torch.zeros(1, 3, 4, 4)
    picture[0, 0, :2] = 0.6  # red above, black below
    means = area_means(picture, cell=4)[0, :, 0, 0]
    torch.testing.assert_close(means, torch.tensor([0.3, 0.0, 0.0, SLOPE * 0.2]))


@torch.no_grad()
def test_new_autoencoder_starts_as_area_means(store):
    torch.manual_seed(0)
    vae = new_vae().eval()
    pictures = store.draw(np.random.default_rng(0), 8, 64).pictures * 2 - 1
    latents = vae.encode(pictures).latent_dist.mean
    assert F.mse_loss(latents, area_means(pictures, 4)) < 0.01 * latents.var()
    made = vae.decode(latents).sample
    coarse = F.interpolate(F.avg_pool2d(pictures, 4), scale_factor=4.0)
    assert F.mse_loss(made, pictures) < 1.2 * F.mse_loss(coarse, pictures)


@torch.no_grad()
def test_folded_equals_unfolded(store):
    torch.manual_seed(0)
    vae = new_vae().eval()
    pictures = store.draw(np.random.default_rng(0), 16, 64).pictures
    before = vae.encode(pictures * 2 - 1).latent_dist
    mean, std = before.mean.mean(dim=(0, 2, 3), keepdim=True), before.mean.std(dim=(0, 2, 3), keepdim=True)
    decoded = vae.decode(before.mean).sample
    fold_normalisation(vae, pictures)
    after = vae.encode(pictures * 2 - 1).latent_dist
    torch.testing.assert_close(after.mean, (before.mean - mean) / std, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(after.std, before.std / std, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(vae.decode(after.mean).sample, decoded, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(after.mean.mean(dim=(0, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(after.mean.std(dim=(0, 2, 3)), torch.ones(4), atol=1e-4, rtol=0)


def test_picture_loss_by_hand():
    made, true = torch.zeros(1, 1, 2, 2), torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])
    # L1 1/2, MSE 1/2, differences: across every row 1, down every column 0
    assert picture_loss(made, true, gradient=0.5).item() == pytest.approx(0.5 + 0.5 + 0.5 * 1.0)


class AreaMeans:
    """Latents are means over 4x4 pixels, as the anchor asks; those of chosen pictures stray by a constant."""

    def __init__(self, strays: float = 0.0, of: slice = slice(0)) -> None:
        self.strays = strays
        self.of = of

    def encode(self, pictures):
        self.latents = area_means(pictures, 4)
        self.latents[self.of] += self.strays
        still = torch.zeros_like(self.latents)
        return SimpleNamespace(latent_dist=SimpleNamespace(mean=self.latents, std=still, kl=lambda: still))

    def decode(self, latents):
        return SimpleNamespace(sample=F.interpolate(latents[:, :3], scale_factor=4))


def test_second_half_is_decoded_from_objects_laid_over_another_background(store):
    batch = store.draw(np.random.default_rng(1), 4, 64)
    settings = AutoencoderSettings(noise=0.0, agreement=0.0)
    loss = autoencoder_loss(AreaMeans(), batch, settings, torch.Generator().manual_seed(0)).item()
    palette = list(load_world().backgrounds.values())
    drawn = torch.randint(len(palette), (2,), generator=torch.Generator().manual_seed(0)).tolist()
    made, true = np.zeros((4, 3, 64, 64), dtype=np.float32), batch.pictures.numpy().copy()
    for picture, (row, column) in itertools.product(range(4), np.ndindex(16, 16)):
        cell = slice(4 * row, 4 * row + 4), slice(4 * column, 4 * column + 4)
        for band in range(3):
            mean = true[picture, band][cell].mean()
            if picture >= 2:
                ground, own = palette[drawn[picture - 2]][band], batch.backgrounds[picture, band].item()
                cover = batch.coverage[picture, 0].numpy()[cell]
                true[picture, band][cell] += (1 - cover) * (ground - own)
                mean = cover.mean() * mean + (1 - cover.mean()) * ground
            made[picture, band][cell] = mean
    expected = picture_loss(*(torch.from_numpy(part) * 2 - 1 for part in (made, true)), gradient=settings.gradient)
    assert loss == pytest.approx(expected.item(), rel=1e-4)


def test_agreement_is_the_mean_square_by_which_covered_cells_differ_in_standard_deviations(store):
    batch = store.draw(np.random.default_rng(1), 4, 64)
    assert (F.avg_pool2d(batch.coverage[2:], 4) == 1).any()

    def loss(vae: AreaMeans, agreement: float) -> float:
        settings = AutoencoderSettings(agreement=agreement)
        return autoencoder_loss(vae, batch, settings, torch.Generator().manual_seed(0)).item()

    # pictures 4 and 5 of those encoded show the second half on its second background
    for strays, of in ((0.0, slice(4, 6)), (0.3, slice(4, 6))):
        vae = AreaMeans(strays, of)
        found = loss(vae, 1.0) - loss(vae, 0.0)
        spread = vae.latents.std(dim=(0, 2, 3))
        assert found == pytest.approx((strays / spread).square().mean().item(), rel=1e-3, abs=1e-5)


def test_few_steps_lower_the_loss(store):
    batch = store.draw(np.random.default_rng(9), 4, 64)
    torch.manual_seed(0)
    vae = new_vae()
    optimiser = torch.optim.Adam(vae.parameters(), lr=2e-5)
    losses = []
    for _ in range(8):
        loss = autoencoder_loss(vae, batch, AutoencoderSettings(), torch.Generator().manual_seed(0))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.98 * losses[0]


def test_resume_equals_no_interruption(store, tmp_path):
    whole, facts = train_autoencoder(store, tmp_path / "whole", FEW_STEPS)
    assert facts["steps"] == 8
    assert len(facts["history"]) == 1

    def stop(vae, step):
        raise InterruptedError

    often = replace(FEW_STEPS, save_every=1)  # shows its pictures, and so stops here, at step 5
    with pytest.raises(InterruptedError):
        train_autoencoder(store, tmp_path / "cut", often, show=stop)
    assert torch.load(tmp_path / "cut" / "vae.pt", weights_only=True)["step"] == 5
    resumed, _ = train_autoencoder(store, tmp_path / "cut", FEW_STEPS)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
