"""The shipped denoiser, widened: it is told its cameras, and looks at several views of an object together.

No layer is new but those that the stock UNet2DConditionModel has for it, so that the saved folder loads as it is.
"""

import copy
from typing import Any

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from toybox.denoiser import Denoiser
from toybox.latents import StableDiffusionPipeline, diffusers
from toybox.told_cameras import POSE_NUMBERS, RAY_CHANNELS, ToldCameras


class JoinedViews(AttnProcessor):
    """Self-attention over the tokens of all views of an object: (objects x views) rows become `objects` longer ones.

    Source: MVDream (arXiv:2308.16512), section 3.1. The number of views is an argument of every call
    (`cross_attention_kwargs={"views": 4}`); rows lie object by object.
    """

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        views: int = 1,
    ) -> Tensor:
        stock = super().__call__
        if encoder_hidden_states is not None or views == 1:
            return stock(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        together = hidden_states.unflatten(0, (-1, views)).flatten(1, 2)
        return stock(attn, together, None, attention_mask, temb).unflatten(1, (views, -1)).flatten(0, 1)


class ViewDenoiser(Denoiser):
    """A denoiser that is told each picture's camera."""

    def __init__(self, tokenizer: CLIPTokenizer, text_encoder: CLIPTextModel, unet: Any) -> None:
        super().__init__(tokenizer, text_encoder, unet)
        self.unet.set_attn_processor(JoinedViews())

    @classmethod
    def widened(cls, pipeline: StableDiffusionPipeline) -> "ViewDenoiser":
        """A pipeline's text encoder and UNet with what it takes to be told cameras."""
        return cls(pipeline.tokenizer, copy.deepcopy(pipeline.text_encoder), told_unet(pipeline.unet))

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, noisy: Tensor, timestep: Tensor, captions: list[str], told: ToldCameras, views: int = 1
    ) -> Tensor:
        """The raw output (v) for noisy latents [objects x views, 4, size, size] at these timesteps [objects x views].

        Args:
            captions: one a picture.
            views: how many pictures in a row show one object.
        """
        return self.unet(
            torch.cat([noisy, told.rays], dim=1),
            timestep,
            encoder_hidden_states=self.embed(captions),
            class_labels=told.poses,
            cross_attention_kwargs={"views": views},
        ).sample


def told_unet(unet: Any) -> Any:
    """A copy of a stock UNet with six further input channels and a pose embedding; untold, it answers as before.

    The new weights are random, as large as those beside them. Begun at zero, they learned elevations, but no azimuth in
    400 steps: what an azimuth changes differs from kind to kind and is nothing on average, so that nothing would pull
    at them before they say something of the azimuth that the later layers can join with the kind. One that is told
    cameras already is copied as it is, so that a training can begin with its weights.
    """
    if unet.config.class_embed_type == "projection":
        return copy.deepcopy(unet)
    config = {
        name: value for name, value in unet.config.items() if not name.startswith("_")
    }  # not `_use_default_values`
    wide = diffusers.UNet2DConditionModel.from_config(
        config
        | {
            "in_channels": config["in_channels"] + RAY_CHANNELS,
            "class_embed_type": "projection",
            "projection_class_embeddings_input_dim": POSE_NUMBERS,
        }
    )
    pose = wide.class_embedding
    nn.init.normal_(pose.linear_1.weight)  # strong enough to bend: twofold turns are squares of the pose's numbers
    nn.init.zeros_(pose.linear_1.bias)
    nn.init.zeros_(pose.linear_2.bias)
    weights = dict(unet.state_dict())
    known = weights.pop("conv_in.weight")
    rays = known.std() * torch.randn(known.shape[0], RAY_CHANNELS, *known.shape[2:])
    weights["conv_in.weight"] = torch.cat([known, rays], dim=1)
    missing, unexpected = wide.load_state_dict(weights, strict=False)
    assert not unexpected
    assert all(name.startswith("class_embedding.") for name in missing)
    return wide
