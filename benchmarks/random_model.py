"""A diffusion model of the size of Stable Diffusion 1.5, with random weights: as slow as the real one, but untrained.

What a step costs does not depend on what the weights have learned, so speed and memory can be measured where the real
weights cannot be downloaded.

Source of the sizes: Rombach et al. (arXiv:2112.10752) and the published configs of Stable Diffusion 1.5.
"""

import json
from pathlib import Path
from typing import Any

import diffusers as untyped_diffusers
import torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

# Its names are made at run time, where pyright cannot see them.
diffusers: Any = untyped_diffusers

TOKEN_LIMIT = 77
TEXT_WIDTH = 768
TEXT = {"hidden_size": TEXT_WIDTH, "intermediate_size": 4 * TEXT_WIDTH, "projection_dim": TEXT_WIDTH}
UNET = {"sample_size": 64, "cross_attention_dim": TEXT_WIDTH}  # the rest is diffusers' own default
VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "sample_size": 512,
}
SCHEDULER = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def random_stable_diffusion(
    folder: Path, unet: dict[str, Any] | None = None, vae: dict[str, Any] | None = None, text_layers: int = 12
) -> Path:
    """The model's folder, written in float16 (2 GB) unless it is there.

    Args:
        unet: settings of diffusers' class that take the place of the published ones.
        vae: the same for the autoencoder.
        text_layers: layers of the text encoder.
    """
    index = folder / "model_index.json"  # written last: where it is, all is
    if index.exists():
        return folder
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tokenizer = letters_tokenizer(TOKEN_LIMIT)
        networks: dict[str, Any] = {
            "unet": diffusers.UNet2DConditionModel(**{**UNET, **(unet or {})}),
            "vae": diffusers.AutoencoderKL(**{**VAE, **(vae or {})}),
            "text_encoder": CLIPTextModel(
                text_config(tokenizer, TOKEN_LIMIT, num_hidden_layers=text_layers, num_attention_heads=12, **TEXT)
            ),
        }
    for part, network in networks.items():
        torch.nn.Module.to(network, torch.float16)  # the libraries' own `to` warns
        network.save_pretrained(folder / part)
    tokenizer.save_pretrained(folder / "tokenizer")
    diffusers.DDIMScheduler(clip_sample=False, steps_offset=1, **SCHEDULER).save_pretrained(folder / "scheduler")
    parts = {
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "safety_checker": [None, None],
        "feature_extractor": [None, None],
    }
    named = {"_class_name": "StableDiffusionPipeline", "_diffusers_version": diffusers.__version__, **parts}
    index.write_text(json.dumps(named))
    return folder


def letters_tokenizer(limit: int) -> CLIPTokenizer:
    """One token per ASCII character."""
    letters = [chr(code) for code in range(33, 127)]
    vocabulary = {token: i for i, token in enumerate([*letters, *(letter + "</w>" for letter in letters)])}
    for special in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary[special] = len(vocabulary)
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=limit)


def text_config(tokenizer: Any, limit: int, **sizes: Any) -> CLIPTextConfig:
    """A text encoder's config for a tokenizer's words and `limit` of them."""
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=limit,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **sizes,
    )
