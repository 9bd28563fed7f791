"""A word's embeddings learnt from pictures, in front of frozen text encoders and a frozen denoiser.

    loss(v) = mean | eps - eps_hat(alpha z + sigma eps, t, text encoder(v)) |^2

Source: Gal et al., An Image is Worth One Word (arXiv:2208.01618), eq. 2.
"""

from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from core.errors import UserError
from guidance.frozen import FrozenNetworks
from guidance.latent_diffusion import LatentDiffusion
from guidance.sds import add_noise, draw_timesteps, guided_noise
from guidance.textual_inversion import LearntWord, teach_tokenizer


class WordTable(nn.Module):
    """A text encoder's table of embeddings, frozen, and behind it rows that are trained."""

    known: Tensor

    def __init__(self, known: Float[Tensor, "words width"], begin: Int[Tensor, "pieces"]) -> None:
        """
        Args:
            begin: the known words that the new rows begin as.
        """
        super().__init__()
        self.register_buffer("known", known, persistent=False)
        self.vectors = nn.Parameter(known[begin].float())

    def forward(self, ids: Int[Tensor, "texts tokens"]) -> Float[Tensor, "texts tokens width"]:
        """Embeddings of token numbers."""
        return F.embedding(ids, torch.cat([self.known, self.vectors.to(self.known.dtype)]))


class WordLearner(FrozenNetworks):
    """Learns what one word means to a model; its parameters are the word's embeddings."""

    def __init__(self, model: LatentDiffusion, token: str, begin: str) -> None:
        """Load the text encoders and the denoiser.

        Args:
            token: the word, which is new to the model.
            begin: a text; the word begins with the embeddings of its tokens, and has as many.

        Raises:
            UserError: the word has a meaning already, or its beginning has none.
        """
        super().__init__()
        self.token, self._pipeline = token, model.text_pipeline()
        model.load()
        self._model = (model,)  # no submodule: it is moved by whoever holds it
        tables: list[WordTable] = []
        for suffix in ("", "_2")[: len(model.adapter.text_encoders)]:
            tokenizer: Any = getattr(self._pipeline, f"tokenizer{suffix}")
            encoder: Any = getattr(self._pipeline, f"text_encoder{suffix}")
            ids = tokenizer(begin, add_special_tokens=False).input_ids
            if not ids or tokenizer.unk_token_id in ids:
                raise UserError(f"begin: '{begin}' says nothing to the model; give words that it knows")
            table = WordTable(encoder.get_input_embeddings().weight.data, torch.tensor(ids))
            teach_tokenizer(tokenizer, [LearntWord(token, (table.vectors.data,))])
            encoder.set_input_embeddings(table)
            self.hold(encoder)
            tables.append(table)
        self.tables = nn.ModuleList(tables)
        self.tables.requires_grad_(True)

    @property
    def word(self) -> LearntWord:
        """What has been learnt by now."""
        vectors = [parameter.detach().cpu() for parameter in self.parameters()]
        return LearntWord(self.token, tuple(vectors))

    def loss(
        self, latents: Float[Tensor, "pictures height width channels"], texts: list[str], rng: Generator
    ) -> Float[Tensor, ""]:
        """How far the denoiser is from the noise in pictures that are told by texts with the word.

        Args:
            texts: one for each picture.
        """
        (model,) = self._model
        timestep = draw_timesteps(len(latents), 0.0, 1.0, model.n_timesteps, rng).to(latents.device)
        noise = torch.randn(latents.shape, generator=rng, device=rng.device).to(latents.device)
        noisy = add_noise(latents, noise, model.alpha[timestep], model.sigma[timestep])
        text = model.adapter.embed(self._pipeline, texts, latents.device)
        return F.mse_loss(model.predict(noisy, timestep, text, is_learning=True), noise)

    @torch.no_grad()
    def draw(
        self, texts: list[str], scale: float, rng: Generator, n_steps: int = 20
    ) -> Float[Tensor, "texts height width channels"]:
        """Latents of pictures that the model draws for texts, by deterministic steps.

        Source: DDIM (arXiv:2010.02502), eq. 12 with sigma = 0.
        """
        (model,) = self._model
        device, size = model.alpha.device, model.latent_size
        text = model.adapter.embed(self._pipeline, [""] * len(texts) + texts, device)
        shape = (len(texts), size, size, model.autoencoder.n_channels)
        x = torch.randn(shape, generator=rng, device=rng.device).to(device)
        times = torch.linspace(model.n_timesteps - 1, 0, n_steps + 1, device=device).round().long()
        for now, then in pairwise(times):
            step = now.expand(2 * len(texts))
            without, with_text = model.predict(x.repeat(2, 1, 1, 1), step, text, as_picture=True).chunk(2)
            z = guided_noise(without, with_text, scale)  # affine in eps_hat, so that guidance works on pictures too
            noise = (x - model.alpha[now] * z) / model.sigma[now]
            x = add_noise(z, noise, model.alpha[then].expand(len(x)), model.sigma[then].expand(len(x)))
        return z
