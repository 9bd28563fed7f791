"""Sizes and names of MVDream's published checkpoint, as diffusers and transformers call them.

The checkpoint is in the layout of Stable Diffusion 2.1's own code (LDM): a UNet with an embedding of the camera, an
autoencoder, and OpenCLIP's text encoder, of which the last block is not used. Sizes are read from the tensors' shapes.

Source: github.com/bytedance/MVDream, mvdream/configs/sd-v2-base.yaml and mvdream/ldm/modules; arXiv:2308.16512.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

Weights = Mapping[str, Tensor]

UNET, VAE, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.model."
#: What the checkpoint's config says and its shapes do not.
LATENT_SIZE, HEAD_WIDTH, SCALING_FACTOR = 32, 64, 0.18215
SCHEDULER = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "epsilon",
    "clip_sample": False,
    "steps_offset": 1,
    "set_alpha_to_one": False,
}
#: Four views, told by poses alone, in a world with z up.
CAMERAS = {"n_together": 4, "ray_maps": False, "pose": True, "up_axis": "z"}


def unet_config(weights: Weights) -> dict[str, Any]:
    """Settings of a UNet2DConditionModel.

    Raises:
        KeyError: a tensor is missing that every such network has.
    """
    n_levels = 1 + _count(weights, rf"{UNET}input_blocks\.\d+\.0\.op\.weight")
    n_blocks = _count(weights, rf"{UNET}input_blocks\.\d+\.0\.(?:in_layers\.0\.)?weight") + n_levels - 1
    layers = (n_blocks - n_levels) // n_levels
    firsts = [f"{UNET}input_blocks.{1 + level * (layers + 1)}." for level in range(n_levels)]
    widths = tuple(weights[f"{first}0.out_layers.3.weight"].shape[0] for first in firsts)
    attends = [f"{first}1.norm.weight" in weights for first in firsts]
    transformer = f"{firsts[attends.index(True)]}1."
    return {
        "sample_size": LATENT_SIZE,
        "in_channels": weights[f"{UNET}input_blocks.0.0.weight"].shape[1],
        "out_channels": weights[f"{UNET}out.2.weight"].shape[0],
        "block_out_channels": widths,
        "down_block_types": tuple("CrossAttnDownBlock2D" if attend else "DownBlock2D" for attend in attends),
        "up_block_types": tuple("CrossAttnUpBlock2D" if attend else "UpBlock2D" for attend in reversed(attends)),
        "layers_per_block": layers,
        "attention_head_dim": tuple(width // HEAD_WIDTH for width in widths),  # diffusers' name for how many heads
        "cross_attention_dim": weights[f"{transformer}transformer_blocks.0.attn2.to_k.weight"].shape[1],
        "use_linear_projection": weights[f"{transformer}proj_in.weight"].ndim == 2,
        "class_embed_type": "projection",
        "projection_class_embeddings_input_dim": weights[f"{UNET}camera_embed.0.weight"].shape[1],
    }


def vae_config(weights: Weights) -> dict[str, Any]:
    """Settings of an AutoencoderKL.

    Raises:
        KeyError: a tensor is missing that every such network has.
    """
    n_levels = _count(weights, rf"{VAE}encoder\.down\.\d+\.block\.0\.conv1\.weight")
    firsts = [f"{VAE}encoder.down.{level}.block.0.conv1.weight" for level in range(n_levels)]
    return {
        "sample_size": LATENT_SIZE * 2 ** (n_levels - 1),
        "in_channels": weights[f"{VAE}encoder.conv_in.weight"].shape[1],
        "out_channels": weights[f"{VAE}decoder.conv_out.weight"].shape[0],
        "latent_channels": weights[f"{VAE}post_quant_conv.weight"].shape[0],
        "block_out_channels": tuple(weights[first].shape[0] for first in firsts),
        "down_block_types": ("DownEncoderBlock2D",) * n_levels,
        "up_block_types": ("UpDecoderBlock2D",) * n_levels,
        "layers_per_block": _count(weights, rf"{VAE}encoder\.down\.0\.block\.\d+\.conv1\.weight"),
        "scaling_factor": SCALING_FACTOR,
    }


def text_config(weights: Weights) -> dict[str, Any]:
    """Settings of a CLIPTextConfig, without the last block.

    Raises:
        KeyError: a tensor is missing that every such network has.
    """
    n_tokens, width = weights[f"{TEXT}token_embedding.weight"].shape
    return {
        "vocab_size": n_tokens,
        "hidden_size": width,
        "intermediate_size": weights[f"{TEXT}transformer.resblocks.0.mlp.c_fc.weight"].shape[0],
        "num_hidden_layers": n_text_blocks(weights) - 1,
        "num_attention_heads": width // HEAD_WIDTH,
        "max_position_embeddings": weights[f"{TEXT}positional_embedding"].shape[0],
        "hidden_act": "gelu",
        "projection_dim": weights[f"{TEXT}text_projection"].shape[1],
    }


def n_text_blocks(weights: Weights) -> int:
    """Blocks of the text encoder, the last one included."""
    return _count(weights, rf"{re.escape(TEXT)}transformer\.resblocks\.\d+\.ln_1\.weight")


def _count(weights: Weights, pattern: str) -> int:
    return sum(re.fullmatch(pattern, name) is not None for name in weights)
