"""Families of models whose denoiser is a transformer: Stable Diffusion 3, Flux.1 and PixArt-Sigma."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from guidance.model_families import ModelFamily, TextEmbedding

#: The guidance that Flux.1 [dev] is told, diffusers' default: it was distilled to answer as if it had been guided.
TOLD_GUIDANCE = 3.5


class StableDiffusion3(ModelFamily):
    """Two CLIPs and, if wanted, T5, side by side for a transformer; without T5 its place holds zeros."""

    title = "Stable Diffusion 3 and 3.5"
    pipeline = "StableDiffusion3Pipeline"
    denoiser = "transformer"
    text_encoders = ("text_encoder", "text_encoder_2")
    t5 = "text_encoder_3"
    text_width = "joint_attention_dim"
    takes_embeddings = False

    def embed(self, pipeline: Any, texts: list[str], device: torch.device) -> TextEmbedding:
        """CLIP's tokens padded to the transformer's width, T5's or zeros behind them; both projections pooled."""
        tokens, _, pooled, _ = pipeline.encode_prompt(
            texts, None, None, device=device, do_classifier_free_guidance=False
        )
        return TextEmbedding(tokens.float(), pooled.float())

    def call(self, network: Callable[..., Any], noisy: Tensor, time: Tensor, tokens: Tensor, *told: Tensor) -> Tensor:
        """Told the pooled embedding beside the tokens."""
        return network(noisy, tokens, told[0], time, return_dict=False)[0]


class Flux(ModelFamily):
    """T5's tokens and CLIP's pooled embedding, for a transformer that takes 2 x 2 latents as one and their places."""

    title = "Flux.1"
    pipeline = "FluxPipeline"
    denoiser = "transformer"
    text_encoders = ("text_encoder", "text_encoder_2")
    readers = ("text_encoder_2",)
    t5_tokens = 512
    text_width = "joint_attention_dim"
    packing = 2
    takes_embeddings = False

    def embed(self, pipeline: Any, texts: list[str], device: torch.device) -> TextEmbedding:
        """Of CLIP, which reads a text's beginning alone, the pooled embedding; T5's tokens, filled up."""
        tokens, pooled, _ = pipeline.encode_prompt(texts, device=device, max_sequence_length=self.t5_tokens)
        return TextEmbedding(tokens.float(), pooled.float())

    def call(self, network: Callable[..., Any], noisy: Tensor, time: Tensor, tokens: Tensor, *told: Tensor) -> Tensor:
        """Told where each token is in the picture; a model distilled from guidance is told how much, too."""
        rows, columns = (torch.arange(size // 2, device=noisy.device) for size in noisy.shape[2:])
        places = torch.cartesian_prod(torch.zeros_like(rows[:1]), rows, columns).to(noisy.dtype)
        output = network(
            F.pixel_unshuffle(noisy, 2).flatten(2).mT,
            encoder_hidden_states=tokens,
            pooled_projections=told[0],
            timestep=time.to(noisy.dtype) / 1000,
            img_ids=places,
            txt_ids=noisy.new_zeros(tokens.shape[1], 3),
            guidance=time.new_full(time.shape, TOLD_GUIDANCE) if self.config["guidance_embeds"] else None,
            return_dict=False,
        )[0]
        return F.pixel_shuffle(output.mT.unflatten(2, (len(rows), len(columns))), 2)


class PixArtSigma(ModelFamily):
    """T5's tokens, with a mask of what fills them up."""

    title = "PixArt-Sigma"
    pipeline = "PixArtSigmaPipeline"
    denoiser = "transformer"
    t5_tokens = 300
    text_width = "caption_channels"
    takes_embeddings = False
    takes_loras = False

    def embed(self, pipeline: Any, texts: list[str], device: torch.device) -> TextEmbedding:
        """In lower case, as the pipeline has it."""
        told = {"device": device, "max_sequence_length": self.t5_tokens}
        tokens, mask, _, _ = pipeline.encode_prompt(texts, do_classifier_free_guidance=False, **told)
        return TextEmbedding(tokens.float(), mask=mask.float())

    def call(self, network: Callable[..., Any], noisy: Tensor, time: Tensor, tokens: Tensor, *told: Tensor) -> Tensor:
        """Of its output, the second half is a variance, where there is one."""
        text = {"encoder_hidden_states": tokens, "encoder_attention_mask": told[0]}
        output = network(noisy, timestep=time, **text, return_dict=False)[0]
        return output[:, : noisy.shape[1]]
