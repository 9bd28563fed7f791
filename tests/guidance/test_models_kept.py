"""A worker's model from job to job: read once, and never taken for another one."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from guidance.latent_diffusion import LatentDiffusion
from guidance.latent_sds import LatentSDS
from guidance.model_settings import models_kept


def guidance_by(model: Path, precision: str = "auto", score: str = "sds") -> LatentSDS:
    config = LatentSDS.Config(model=str(model), precision=precision, score=score)  # pyright: ignore[reportArgumentType]
    return LatentSDS(config)


def test_the_last_model_is_kept_and_only_where_that_is_asked_for(tiny_model: Callable[..., Path]) -> None:
    path, kept = tiny_model(), dict[str, LatentDiffusion]()
    with models_kept(kept):
        first = guidance_by(path).model
        assert guidance_by(path).model is first
        other = guidance_by(path, "bfloat16").model
        assert other is not first, "weights that were rounded are others"
        assert guidance_by(path).model is not first, "one model at a time"
    assert guidance_by(path).model is not guidance_by(path).model
    with models_kept(kept):
        assert guidance_by(path).model is next(iter(kept.values()))


def test_a_kept_model_sees_the_same_noise(tiny_model: Callable[..., Path]) -> None:
    """What an earlier job has done with the model leaves nothing behind."""
    path, seen = tiny_model(), []
    with models_kept({}):
        for prompt in ("a red mushroom", "a blue chair", "a red mushroom"):
            guidance = guidance_by(path)
            guidance.prepare(prompt)
            size = guidance.latent_size
            noisy = torch.randn(1, size, size, guidance.latent_channels, generator=torch.Generator().manual_seed(0))
            text = guidance.model.embed_text([prompt])
            seen.append(guidance.model.predict(noisy, torch.tensor([10]), text))
    assert torch.equal(seen[0], seen[2])
    assert not torch.equal(seen[0], seen[1])


def test_memory_that_was_short_is_so_for_one_job_alone(tiny_model: Callable[..., Path]) -> None:
    with models_kept({}):
        first = guidance_by(tiny_model())
        assert first.take_less_memory()
        assert first.model.autoencoder.takes_less
        second = guidance_by(tiny_model())
        assert second.model is first.model
        assert not second.model.autoencoder.takes_less
        assert second.take_less_memory(), "it may be short again"


def test_a_lora_of_a_score_is_gone_with_its_job(tiny_model: Callable[..., Path]) -> None:
    with models_kept({}):
        for _ in range(2):
            guidance = guidance_by(tiny_model(), score="vsd")
            assert guidance.variation is not None
            network: nn.Module = guidance.model.denoiser
            with guidance.variation.on(network):
                hooks = [len(module._forward_hooks) for module in network.modules()]
                assert (max(hooks), sum(hooks)) == (1, len(guidance.variation.down))
            assert not any(module._forward_hooks for module in network.modules())
