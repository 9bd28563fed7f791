"""Why the multi-view training begins in strong noise, and that a kill costs it nothing."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from toybox import view_plan, view_sets, view_training
from toybox.backdrops import Backdrops
from toybox.checkpoint import load_state
from toybox.denoiser import Denoiser
from toybox.latents import StableDiffusionPipeline, diffusers
from toybox.networks import DOWNSCALE, TEXT_WIDTH, new_scheduler, new_text_encoder, new_unet, new_vae
from toybox.pipeline import assemble, load_pipeline
from toybox.tokenizer import new_tokenizer
from toybox.told_cameras import tell
from toybox.view_denoiser import ViewDenoiser, told_unet
from toybox.view_lessons import lesson
from toybox.view_plan import ViewSettings
from toybox.view_sets import ViewSets
from toybox.view_training import CHECKPOINT, train_views
from toybox.world import load_world


def _tiny() -> StableDiffusionPipeline:
    torch.manual_seed(1)
    tokenizer = new_tokenizer()
    return assemble(new_vae(), Denoiser(tokenizer, new_text_encoder(tokenizer), new_unet()))


def _step(path: Path) -> int:
    saved = load_state(path)
    assert saved
    return saved["step"]


class KilledError(Exception):
    """What a kill is to a training."""


def test_training_goes_on_as_if_it_had_not_stopped(tmp_path, vae, few_steps):
    start = ViewDenoiser.widened(_tiny())
    begun = {name: value.clone() for name, value in start.state_dict().items()}
    shown = []
    _, facts = train_views(start, vae, tmp_path / "whole", few_steps, lambda _, step: shown.append(step))
    assert shown == [1, 2, 3, 4]
    assert facts["steps"] == 4

    def kill(_: ViewDenoiser, step: int) -> None:
        if step == 3:
            raise KilledError

    start.load_state_dict(begun)
    with pytest.raises(KilledError):
        train_views(start, vae, tmp_path / "cut", few_steps, kill)
    assert _step(tmp_path / "cut" / CHECKPOINT) == 3
    assert _step((tmp_path / "cut" / CHECKPOINT).with_suffix(".before")) == 2
    train_views(ViewDenoiser.widened(_tiny()), vae, tmp_path / "cut", few_steps)
    # Not bit for bit: gradients that are nothing but rounding (of attention's key biases) get a full step of Adam, and
    # their signs differ from run to run, of the same process too.
    straight, resumed = (load_state(tmp_path / name / CHECKPOINT) for name in ("whole", "cut"))
    assert straight
    assert resumed
    assert len(resumed["losses"]) == 4
    torch.testing.assert_close(torch.tensor(resumed["losses"]), torch.tensor(straight["losses"]), rtol=0.03, atol=0)
    assert {float(state["step"]) for state in resumed["optimiser"]["state"].values()} == {4}, "Adam went on too"
    for name, value in straight["live"].items():
        torch.testing.assert_close(resumed["live"][name], value, rtol=0, atol=2 * 4 * few_steps.mean_rate)
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
    for module in (view_plan, view_training):
        monkeypatch.setattr(module, "COARSE", 8)
    settings = ViewSettings(mean_steps=60, mean_rate=3e-3, coarse_steps=0, fine_steps=0, coarse_batch=16, first_sets=2)
    vae = load_pipeline().vae.requires_grad_(False)
    taught, _ = train_views(_small(), vae, tmp_path, settings)

    unseen = ViewSets(tmp_path / "unseen", vae, 8, seed=settings.seed + 1).get(0)
    share = torch.full((len(unseen.subjects),), 0.95)
    right = lesson(unseen, share, Backdrops(vae, 8 * DOWNSCALE), new_scheduler(), torch.Generator().manual_seed(0))
    mirrored = replace(right, told=tell([replace(view, azimuth_deg=-view.azimuth_deg) for view in unseen.views()], 8))
    with torch.no_grad():
        assert right.errors(taught).mean() < 0.96 * mirrored.errors(taught).mean()
