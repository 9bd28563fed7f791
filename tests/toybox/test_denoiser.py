"""The denoiser's loss, its captions, and a training that a real kill cannot derail."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from toybox.data import BufferStore, render_buffers
from toybox.denoiser import (
    Denoiser,
    DenoiserSettings,
    StepBatches,
    batch_loader,
    captions_of,
    denoiser_losses,
    train_denoiser,
)
from toybox.learning import average_into
from toybox.networks import new_scheduler, new_vae
from toybox.tokenizer import new_tokenizer
from toybox.world import load_world

ROOT = Path(__file__).parents[2]

# the same few steps that the killed process runs
SCRIPT = """
import sys
from pathlib import Path
import torch
from toybox.data import BufferStore
from toybox.denoiser import DenoiserSettings, train_denoiser
from toybox.networks import new_vae
torch.set_num_threads(1)
buffers, folder = Path(sys.argv[1]), Path(sys.argv[2])
torch.manual_seed(0)
vae = new_vae().eval().requires_grad_(False)
settings = DenoiserSettings(steps=8, coarse=1.0, coarse_batch=4, save_every=2)
train_denoiser(BufferStore(buffers), vae, folder, settings)
"""


@pytest.fixture(scope="module")
def buffers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("buffers")
    render_buffers(folder, views_per_kind=2, size=64, seed=5)
    return folder


@pytest.fixture(scope="module")
def denoiser():
    torch.manual_seed(0)
    return Denoiser(new_tokenizer())


def test_captions_name_the_subject_and_the_view_of_their_picture(buffers):
    batch = BufferStore(buffers).draw(np.random.default_rng(0), 400, 16)
    texts = captions_of(batch, DenoiserSettings(), np.random.default_rng(1))
    placed = 0
    for text, subject, view in zip(texts, batch.subjects, batch.views, strict=True):
        if text:
            word = load_world().view_word(view.elevation_deg, view.azimuth_deg)
            assert text in (subject.caption(), subject.caption(word))
            placed += text.endswith("view")
    assert texts.count("") / 400 == pytest.approx(0.1, abs=0.05)
    assert placed / 400 == pytest.approx(0.75, abs=0.07)


def test_batches_belong_to_their_step_whoever_draws_them(buffers):
    settings = DenoiserSettings(steps=203, coarse=1.0, coarse_batch=3)
    store = BufferStore(buffers)
    loader = batch_loader(StepBatches(store, settings, first=100))
    assert loader.num_workers == 1
    drawn = [item for item, _ in zip(loader, range(4), strict=False)]
    late = StepBatches(store, settings, first=101)  # as after a kill one step later
    for index, (batch, captions) in enumerate(drawn[1:]):
        again, captions_again = late[index]
        assert torch.equal(batch.pictures, again.pictures)
        assert captions == captions_again
    assert not torch.equal(drawn[0][0].pictures, drawn[1][0].pictures)


def test_loss_of_a_perfect_denoiser_is_zero_and_of_silence_is_the_velocitys_power(denoiser, monkeypatch):
    scheduler = new_scheduler()
    latents = torch.randn(256, 4, 4, 4)
    signal_share = scheduler.alphas_cumprod

    def perfect(noisy, timestep, captions):
        alpha, sigma = (part[timestep, None, None, None].sqrt() for part in (signal_share, 1 - signal_share))
        noise = (noisy - alpha * latents) / sigma.clamp(min=1e-3)
        return alpha * noise - sigma * latents

    rng = torch.Generator().manual_seed(0)
    monkeypatch.setattr(denoiser, "forward", perfect)
    errors, _ = denoiser_losses(denoiser, latents, [""] * 256, scheduler, rng)
    assert errors.shape == (256,)
    assert errors.mean().item() < 1e-3
    monkeypatch.setattr(denoiser, "forward", lambda noisy, timestep, captions: torch.zeros_like(noisy))
    # unit latents and unit noise: v = alpha eps - sigma z has power alpha^2 + sigma^2 = 1
    errors, share = denoiser_losses(denoiser, latents, [""] * 256, scheduler, rng)
    assert errors.mean().item() == pytest.approx(1.0, abs=0.05)
    assert 0 <= share.min() < share.max() < 1


def test_loss_with_shifts_asks_for_the_mean_over_what_the_picture_may_have_been(denoiser, monkeypatch):
    scheduler, count = new_scheduler(), 512
    first, second = torch.randn(2, 1, 4, 4, 4) * 0.3
    truth = torch.arange(count) % 2
    latents = torch.where(truth[:, None, None, None] == 0, first, second)
    # what either picture would add to the true one
    shifts = torch.stack([first - latents, second - latents], dim=1)

    def velocity_towards(clean, noisy, timestep):
        signal = scheduler.alphas_cumprod[timestep][:, None, None, None]
        return (signal.sqrt() * noisy - clean) / (1 - signal).sqrt()

    def bayes(noisy, timestep, captions):
        signal = scheduler.alphas_cumprod[timestep][:, None, None, None]
        distances = torch.stack([(noisy - signal.sqrt() * z).square().flatten(1).sum(1) for z in (first, second)])
        chance = (-distances / (2 * (1 - signal.flatten()))).softmax(dim=0)[:, :, None, None, None]
        return velocity_towards(chance[0] * first + chance[1] * second, noisy, timestep)

    def all_knowing(noisy, timestep, captions):
        return velocity_towards(latents, noisy, timestep)

    for predictor, low, high in ((bayes, 0.0, 1e-5), (all_knowing, 0.01, 1.0)):
        monkeypatch.setattr(denoiser, "forward", predictor)
        rng = torch.Generator().manual_seed(0)
        errors, _ = denoiser_losses(denoiser, latents, [""] * count, scheduler, rng, 0.4, shifts)
        assert low <= errors.mean().item() < high


def test_schedule_ends_in_pure_noise():
    scheduler = new_scheduler()
    assert scheduler.alphas_cumprod[-1].item() == pytest.approx(0.0, abs=1e-6)
    scheduler.set_timesteps(25)
    assert scheduler.timesteps[0].item() == 999


def test_average_follows_by_the_stated_decay():
    old, new = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    old.weight.data.fill_(0.0)
    new.weight.data.fill_(1.0)
    average_into(old, new, step=0, highest=0.99)  # young: decay 1/10
    assert old.weight.item() == pytest.approx(0.9)
    average_into(old, new, step=10**6, highest=0.99)
    assert old.weight.item() == pytest.approx(0.9 * 0.99 + 0.01)


def test_few_steps_lower_the_loss(buffers):
    torch.manual_seed(0)
    denoiser, scheduler = Denoiser(new_tokenizer()), new_scheduler()
    optimiser = torch.optim.AdamW(denoiser.parameters(), lr=1e-3)
    latents = 0.5 * torch.randn(8, 4, 8, 8)
    captions = ["a red chair"] * 8
    losses = []
    for _ in range(8):
        loss = denoiser_losses(denoiser, latents, captions, scheduler, torch.Generator().manual_seed(0))[0].mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_resume_equals_no_interruption(buffers, tmp_path):
    torch.manual_seed(0)
    vae, store = new_vae().eval().requires_grad_(False), BufferStore(buffers)
    settings = DenoiserSettings(steps=6, coarse=1.0, coarse_batch=2, save_every=6)
    whole, facts = train_denoiser(store, vae, tmp_path / "whole", settings)
    # which token has which number differs between two tokenizers of the same words
    shutil.copytree(tmp_path / "whole" / "tokenizer", tmp_path / "cut" / "tokenizer")

    def stop(denoiser, step):
        raise InterruptedError

    often = replace(settings, save_every=1)  # shows its pictures, and so stops here, at step 5
    with pytest.raises(InterruptedError):
        train_denoiser(store, vae, tmp_path / "cut", often, show=stop)
    assert torch.load(tmp_path / "cut" / "denoiser.pt", weights_only=True)["step"] == 5
    resumed, facts_resumed = train_denoiser(store, vae, tmp_path / "cut", settings)
    assert facts_resumed["loss"] == facts["loss"]
    assert facts["steps"] == facts_resumed["steps"] == 6
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    states = [torch.load(tmp_path / run / "denoiser.pt", weights_only=True) for run in ("whole", "cut")]
    assert torch.equal(states[0]["levels"], states[1]["levels"])
    # a later command that asks for fewer steps does not belie those that were made
    assert train_denoiser(store, vae, tmp_path / "cut", replace(settings, steps=3))[1]["steps"] == 6


def _run(buffers: Path, folder: Path) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT, str(buffers), str(folder)]
    return subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.DEVNULL)


@pytest.mark.fault(
    "kill -9 while the denoiser is trained", "the same command goes on; losses and weights end bitwise the same"
)
def test_killed_training_continues_the_same_trajectory(buffers, tmp_path):
    assert _run(buffers, tmp_path / "whole").wait() == 0
    # which token has which number differs between two tokenizers of the same words
    shutil.copytree(tmp_path / "whole" / "tokenizer", tmp_path / "cut" / "tokenizer")
    cut = _run(buffers, tmp_path / "cut")
    while not (tmp_path / "cut" / "denoiser.pt").exists():
        assert cut.poll() is None
        time.sleep(0.05)
    cut.send_signal(signal.SIGKILL)
    assert cut.wait() == -signal.SIGKILL
    reached = torch.load(tmp_path / "cut" / "denoiser.pt", weights_only=True)["step"]
    assert 2 <= reached < 8
    assert _run(buffers, tmp_path / "cut").wait() == 0
    whole, resumed = (torch.load(tmp_path / name / "denoiser.pt", weights_only=True) for name in ("whole", "cut"))
    assert whole["losses"] == resumed["losses"]
    assert whole["step"] == 8
    for name, value in whole["average"].items():
        assert torch.equal(value, resumed["average"][name]), name
