"""The multi-view training: what each step learns from, why it begins in strong noise, and that a kill costs nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from toybox import view_sets, view_training
from toybox.backdrops import Backdrops
from toybox.captions import draw_subject
from toybox.checkpoint import load_state
from toybox.denoiser import Denoiser
from toybox.latents import StableDiffusionPipeline, diffusers
from toybox.networks import DOWNSCALE, TEXT_WIDTH, new_scheduler, new_text_encoder, new_unet, new_vae
from toybox.pipeline import assemble, load_pipeline
from toybox.tokenizer import new_tokenizer
from toybox.told_cameras import tell
from toybox.view_denoiser import ViewDenoiser, told_unet
from toybox.view_sets import N_VIEWS, ViewSet, ViewSets
from toybox.view_training import CHECKPOINT, COARSE, FINE, ViewSettings, ViewSupply, lesson, train_views
from toybox.world import load_world

SETTINGS = ViewSettings(
    mean_steps=2, coarse_steps=2, fine_steps=0, coarse_batch=4, first_sets=2, steps_a_set=2, save_every=1
)


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    return new_vae().eval().requires_grad_(False)


@pytest.fixture
def small_sets(monkeypatch):
    for module in (view_sets, view_training):
        monkeypatch.setattr(module, "SET_OBJECTS", 2)


def _batch(seed: int = 0, n_objects: int = 3) -> ViewSet:
    rng = torch.Generator().manual_seed(seed)
    angles = torch.rand(n_objects, N_VIEWS, 2, generator=rng) * torch.tensor([80.0, 360.0])
    cameras = torch.cat([angles, torch.tensor([1.6, 47.0]).expand(n_objects, N_VIEWS, 2)], dim=-1)
    shape = (n_objects, N_VIEWS, 4, 8, 8)
    return ViewSet(
        latents=torch.randn(shape, generator=rng),
        bare=torch.rand((n_objects, N_VIEWS, 1, 8, 8), generator=rng),
        background=torch.randint(8, (n_objects,), generator=rng),
        cameras=cameras,
        subjects=tuple(draw_subject(np.random.default_rng(i), "chair") for i in range(n_objects)),
    )


def test_phases_follow_each_other():
    settings = ViewSettings(mean_steps=10, coarse_steps=20, fine_steps=10, landing=0.25)
    rng = torch.Generator().manual_seed(0)
    assert [settings.size_at(step) for step in (0, 29, 30, 39)] == [COARSE, COARSE, FINE, FINE]
    assert {settings.views_at(step) for step in range(10)} == {1}
    assert [settings.views_at(step) for step in range(10, 14)] == [1, N_VIEWS, 1, N_VIEWS]
    assert settings.shares_at(9, 64, rng).min() >= settings.mean_from
    shares = settings.shares_at(10, 1000, rng)
    assert (shares > settings.noisy_from).float().mean().item() == pytest.approx(settings.noisy, abs=0.002)
    below = shares[shares <= settings.noisy_from] / settings.noisy_from
    assert below.mean().item() == pytest.approx(0.5, abs=0.01)
    assert shares.min() >= 0
    assert shares.max() < 1
    assert settings.rate_at(30) == settings.rate
    assert settings.rate_at(35) == pytest.approx(settings.rate / 2)
    assert settings.rate_at(39) < settings.rate_at(38)


def test_lessons_hide_one_object_behind_one_timestep_and_one_text(vae):
    batch, share = _batch(), torch.tensor([0.2, 0.5, 0.999])
    made = lesson(batch, share, Backdrops(vae, 8 * DOWNSCALE), new_scheduler(), torch.Generator().manual_seed(1))
    assert made.timestep.tolist() == [200] * 4 + [500] * 4 + [999] * 4
    assert made.captions == [subject.caption() for subject in batch.subjects for _ in range(N_VIEWS)]
    assert torch.equal(made.told.rays, tell(batch.views(), 8).rays)


def test_silence_and_hidden_cameras_are_an_objects_own(vae):
    batch, share = _batch(n_objects=200), torch.full((200,), 0.5)
    scheduler, rng = new_scheduler(), torch.Generator().manual_seed(1)
    made = lesson(batch, share, Backdrops(vae, 8 * DOWNSCALE), scheduler, rng, empty=0.3, untold=0.2)
    silent = np.array([text == "" for text in made.captions]).reshape(200, N_VIEWS)
    hidden = (made.told.poses == 0).all(dim=1).view(200, N_VIEWS)
    for rows, share_of_all in ((torch.from_numpy(silent), 0.3), (hidden, 0.2)):
        assert (rows == rows[:, :1]).all()
        assert rows[:, 0].float().mean().item() == pytest.approx(share_of_all, abs=0.1)


def test_velocity_is_the_mean_over_backgrounds_that_all_views_leave_open(vae):
    """Written out for one object: z' of every background, weighted by the likelihood of all noisy views together."""
    batch, share = _batch(n_objects=1), torch.tensor([0.6])
    backdrops, scheduler = Backdrops(vae, 8 * DOWNSCALE), new_scheduler()
    made = lesson(batch, share, backdrops, scheduler, torch.Generator().manual_seed(2))
    signal = scheduler.alphas_cumprod[600]
    alpha, sigma = signal.sqrt(), (1 - signal).sqrt()
    shifts = backdrops.shifts_of(batch.bare[0], batch.background.expand(N_VIEWS))
    possible = batch.latents[0][:, None] + shifts  # [views, backgrounds, 4, 8, 8]
    distance = (made.noisy[:, None] - alpha * possible).square().sum(dim=(0, 2, 3, 4))
    weights = (-distance / (2 * sigma**2)).softmax(dim=0)
    expected = torch.einsum("b,vbchw->vchw", weights, possible)
    truth = (alpha * made.noisy - expected) / sigma  # v = (alpha z_t - z) / sigma
    torch.testing.assert_close(made.velocity, truth, atol=1e-3, rtol=1e-3)


def test_supply_is_a_function_of_the_step(tmp_path, vae, small_sets):
    one, same = (ViewSupply(tmp_path, vae, SETTINGS) for _ in range(2))
    for step in (0, 3):
        mine = one.at(step)
        assert mine.latents.shape[1] == SETTINGS.views_at(step)
        assert len(mine.views()) == SETTINGS.coarse_batch
        assert torch.equal(mine.latents, same.at(step).latents)
    assert not torch.equal(one.at(0).cameras, one.at(1).cameras)


def _tiny() -> StableDiffusionPipeline:
    torch.manual_seed(1)
    tokenizer = new_tokenizer()
    return assemble(new_vae(), Denoiser(tokenizer, new_text_encoder(tokenizer), new_unet()))


class KilledError(Exception):
    """What a kill is to a training."""


def test_training_goes_on_as_if_it_had_not_stopped(tmp_path, vae, small_sets):
    start = ViewDenoiser.widened(_tiny())
    begun = {name: value.clone() for name, value in start.state_dict().items()}
    shown = []
    whole, facts = train_views(start, vae, tmp_path / "whole", SETTINGS, lambda _, step: shown.append(step))
    assert shown == [1, 2, 3, 4]
    assert facts["steps"] == 4

    def kill(_: ViewDenoiser, step: int) -> None:
        if step == 3:
            raise KilledError

    start.load_state_dict(begun)
    with pytest.raises(KilledError):
        train_views(start, vae, tmp_path / "cut", SETTINGS, kill)
    assert load_state(tmp_path / "cut" / CHECKPOINT)["step"] == 3
    assert load_state((tmp_path / "cut" / CHECKPOINT).with_suffix(".before"))["step"] == 2
    resumed, _ = train_views(ViewDenoiser.widened(_tiny()), vae, tmp_path / "cut", SETTINGS)
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
        if name.startswith("unet.conv_in"):
            assert not torch.equal(begun[name], value)


def _small() -> ViewDenoiser:
    """A denoiser that knows nothing."""
    torch.manual_seed(0)
    tokenizer = new_tokenizer()
    unet = diffusers.UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(16, 32),
        layers_per_block=1,
        attention_head_dim=2,
        cross_attention_dim=TEXT_WIDTH,
        norm_num_groups=4,
    )
    return ViewDenoiser(tokenizer, new_text_encoder(tokenizer), told_unet(unet))


@pytest.mark.slow
def test_sixty_steps_in_strong_noise_teach_the_camera(tmp_path, monkeypatch):
    """The cause of the first phase. A duck seen from the left is no duck seen from the right."""
    ducks = replace(load_world(), kinds={"duck": load_world().kinds["duck"]})
    monkeypatch.setattr(view_sets, "load_world", lambda: ducks)
    monkeypatch.setattr(view_training, "COARSE", 8)
    settings = ViewSettings(
        mean_steps=60, mean_rate=3e-3, coarse_steps=0, fine_steps=0, coarse_batch=16, first_sets=2, steps_a_set=1000
    )
    vae = load_pipeline().vae.requires_grad_(False)
    taught, _ = train_views(_small(), vae, tmp_path, settings)

    unseen = ViewSets(tmp_path / "unseen", vae, 8, seed=settings.seed + 1).get(0)
    share = torch.full((len(unseen.subjects),), 0.95)
    right = lesson(unseen, share, Backdrops(vae, 8 * DOWNSCALE), new_scheduler(), torch.Generator().manual_seed(0))
    mirrored = replace(right, told=tell([replace(view, azimuth_deg=-view.azimuth_deg) for view in unseen.views()], 8))
    with torch.no_grad():
        assert right.errors(taught).mean() < 0.96 * mirrored.errors(taught).mean()
