"""A word is learnt by the loss of the paper, and by nothing else than its embeddings."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import UserError
from guidance.latent_diffusion import LatentDiffusion
from guidance.model_source import find_model
from guidance.word_learning import WordLearner
from tests.guidance.published import published_noise, published_pipeline
from tests.tiny_pipelines import WIDTH, Layout

Models = Callable[..., Path]
PROMPT = "a red <cat>"


def _learner(folder: Path, begin: str = "cat") -> tuple[LatentDiffusion, WordLearner]:
    model = LatentDiffusion(find_model(str(folder)))
    return model, WordLearner(model, "<cat>", begin)


def _latents(n: int = 1) -> torch.Tensor:
    return torch.randn(n, 8, 8, 4, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize(("family", "layout"), [("epsilon", "sd"), ("v_prediction", "sd"), ("epsilon", "xl")])
def test_the_loss_is_the_papers(family: str, layout: Layout, tiny_model: Models):
    """eps_hat is what diffusers' pipeline says that has the same embeddings; a draw is found again by its seed."""
    folder = tiny_model(family, layout)
    model, learner = _learner(folder)
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter.add_(0.5)  # some way into a training
    loss = learner.loss(_latents(), [PROMPT], torch.Generator().manual_seed(7))
    pipeline = published_pipeline(layout, folder)
    for vectors, suffix in zip(learner.word.vectors, ("", "_2"), strict=False):
        told = {name: getattr(pipeline, f"{name}{suffix}") for name in ("tokenizer", "text_encoder")}
        pipeline.load_textual_inversion(vectors, token="<cat>", **told)
    rng = torch.Generator().manual_seed(7)
    timestep = int(torch.rand(1, generator=rng) * model.n_timesteps)
    noise = torch.randn(1, 8, 8, 4, generator=rng)
    noisy = model.alpha[timestep] * _latents() + model.sigma[timestep] * noise
    expected = (published_noise(pipeline, PROMPT, noisy, timestep, 1.0, None) - noise).square().mean()
    torch.testing.assert_close(loss, expected, rtol=2e-5, atol=0)


def test_its_embeddings_alone_are_trained(tiny_model: Models):
    model, learner = _learner(tiny_model())
    assert [tuple(parameter.shape) for parameter in learner.parameters()] == [(3, WIDTH)]  # one token for each letter
    assert list(learner.state_dict()) == ["tables.0.vectors"]
    table: Any = learner.tables[0]
    before = [weight.clone() for weight in (*model.denoiser.parameters(), table.known)]
    adam = torch.optim.Adam(learner.parameters(), lr=0.1)
    losses = []
    for _ in range(30):
        loss = learner.loss(_latents(4), [PROMPT] * 4, torch.Generator().manual_seed(3))
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    after = (*model.denoiser.parameters(), table.known)
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))


def test_a_word_begins_as_what_it_is_told(tiny_model: Models):
    folder = tiny_model()
    _, learner = _learner(folder, "red")
    pipeline = published_pipeline("sd", folder)
    ids = pipeline.tokenizer("red", add_special_tokens=False).input_ids
    torch.testing.assert_close(
        learner.word.vectors[0], pipeline.text_encoder.get_input_embeddings().weight[ids].detach()
    )
    assert learner.word.pieces == ["<cat>", "<cat>_1", "<cat>_2"]


@pytest.mark.parametrize("begin", ["", "  "])
def test_a_beginning_that_says_nothing(begin: str, tiny_model: Models):
    with pytest.raises(UserError, match=r"begin: '.*' says nothing to the model"):
        _learner(tiny_model(), begin)


def test_what_is_drawn_comes_from_the_seed_and_the_text(tiny_model: Models):
    _, learner = _learner(tiny_model("v_prediction"))

    def drawn(text: str, seed: int) -> torch.Tensor:
        return learner.draw([text], 3.0, torch.Generator().manual_seed(seed), n_steps=3)

    assert torch.equal(drawn(PROMPT, 1), drawn(PROMPT, 1))
    assert not torch.allclose(drawn(PROMPT, 1), drawn(PROMPT, 2))
    assert not torch.allclose(drawn(PROMPT, 1), drawn("something else", 1), rtol=1e-3)
