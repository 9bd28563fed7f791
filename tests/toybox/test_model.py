"""The shipped weights: they load and draw offline, keep their size, and their figures are measured again."""

import json

import numpy as np
import pytest
import torch

from toybox.data import BufferStore, render_buffers
from toybox.evaluate import interval, judge_autoencoder, judge_pictures, requests
from toybox.judge import Verdict, load_judge
from toybox.pipeline import generate, load_pipeline
from toybox.world import MODEL_FOLDER, load_world


@pytest.fixture(scope="module")
def pipeline():
    return load_pipeline()


def test_model_is_whole_small_and_safe():
    files = [path for path in MODEL_FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 16e6
    assert max(path.stat().st_size for path in files) <= 15 * 2**20
    assert {path.suffix for path in files} <= {".json", ".safetensors"}
    index = json.loads((MODEL_FOLDER / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionPipeline"
    assert index["safety_checker"] == [None, None]


def test_pipeline_is_what_its_readers_expect(pipeline):
    names = [type(getattr(pipeline, part)).__name__ for part in ("vae", "unet", "text_encoder", "scheduler")]
    assert names == ["AutoencoderKL", "UNet2DConditionModel", "CLIPTextModel", "DDIMScheduler"]
    assert pipeline.unet.config.sample_size == 32
    assert pipeline.unet.config.in_channels == 4
    assert pipeline.vae.config.scaling_factor == 1.0
    assert pipeline.unet.dtype == pipeline.vae.dtype == torch.float32


def test_pictures_are_judged_as_asked_for(pipeline):
    asked = requests(20, seen=True)
    pictures = generate(pipeline, [request.caption for request in asked], seed=77)
    assert pictures.shape == (20, 3, 128, 128)
    figures = judge_pictures(asked + requests(1, seen=False), [*load_judge().verdicts(pictures), NO_VERDICT])
    # what the card states, less three standard errors of so few pictures; guessing would name 1 in 22
    stated = json.loads((MODEL_FOLDER / "evaluation.json").read_text())
    assert figures["object_seen"]["share"] >= max(0.15, stated["object_seen"]["share"] - 0.33)
    assert figures["colour"]["share"] * 21 / 20 >= 0.8


NO_VERDICT = Verdict("nothing", 1.0, "none", "own", 0.0)


def test_same_seed_draws_the_same_picture(pipeline):
    one, same = (generate(pipeline, ["a red chair"], seed=3) for _ in range(2))
    assert torch.equal(one, same)


def test_autoencoder_reconstructs_and_composes(pipeline, tmp_path):
    render_buffers(tmp_path, views_per_kind=2, size=128, seed=31)
    batch = BufferStore(tmp_path).draw(np.random.default_rng(0), 24, 128)
    figures = judge_autoencoder(pipeline.vae, batch)
    assert figures["object_psnr_db"] >= 27
    assert figures["composited_psnr_db"] >= figures["object_psnr_db"] - 2.2  # 2 in the card, on five times the pictures


def test_latents_are_normalised(pipeline, tmp_path):
    render_buffers(tmp_path, views_per_kind=2, size=128, seed=32)
    batch = BufferStore(tmp_path).draw(np.random.default_rng(0), 44, 128)
    with torch.no_grad():
        latents = pipeline.vae.encode(batch.pictures * 2 - 1).latent_dist.mean
    torch.testing.assert_close(latents.mean(dim=(0, 2, 3)), torch.zeros(4), atol=0.35, rtol=0)
    torch.testing.assert_close(latents.std(dim=(0, 2, 3)), torch.ones(4), atol=0.2, rtol=0)


def test_requests_are_balanced_and_keep_seen_apart_from_unseen():
    seen, unseen = requests(400, seen=True), requests(200, seen=False)
    pairs = {(r.subject.kind, r.subject.main) for r in seen}
    assert not pairs & {(r.subject.kind, r.subject.main) for r in unseen}
    for what in (lambda r: r.subject.kind, lambda r: r.subject.main, lambda r: r.word):
        _, counts = np.unique([what(r) for r in seen], return_counts=True)
        assert counts.max() <= 1.5 * counts.min()
    assert len({(r.subject, r.word) for r in seen}) > 300
    for asked in (seen, unseen):  # every kind meets every view word
        _, counts = np.unique([(r.subject.kind, r.word) for r in asked], axis=0, return_counts=True)
        assert len(counts) == len({r.subject.kind for r in asked}) * len(load_world().view_words)
        assert counts.max() <= counts.min() + 1


def test_interval_is_wilsons():
    # Wilson's interval of 95 right of 100, from tables: 0.888 - 0.978
    found = interval([True] * 95 + [False] * 5)
    assert found["share"] == 0.95
    assert found["low"] == pytest.approx(0.888, abs=1e-3)
    assert found["high"] == pytest.approx(0.978, abs=1e-3)
