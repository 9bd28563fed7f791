"""Random diffusion models of a few thousand weights in the layouts of Stable Diffusion 1.x/2.x, XL and 3.

Made of diffusers' and transformers' own classes and written as folders: tests read them as they read the real ones.
"""

import json
from pathlib import Path
from typing import Any, Literal

import diffusers as untyped_diffusers
import torch
import transformers as untyped_transformers
from transformers import CLIPTextModel, CLIPTextModelWithProjection, T5Config, T5EncoderModel

from benchmarks.random_model import letters_tokenizer, text_config

# Its names are made at run time, where pyright cannot see them.
diffusers: Any = untyped_diffusers
transformers: Any = untyped_transformers

Family = Literal["epsilon", "v_prediction", "flow"]
Layout = Literal["sd", "xl", "sd3"]
WIDTH = 16
TEXT = {
    "hidden_size": WIDTH,
    "intermediate_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "projection_dim": WIDTH,
}


def make_tiny_model(
    folder: Path,
    family: Family = "epsilon",
    layout: Layout = "sd",
    latent_size: int = 8,
    channels: int = 4,
    dtype: torch.dtype = torch.float32,
    tiny_vae: bool = False,
    vae: dict[str, Any] | None = None,
    token_limit: int = 24,
    scheduler: dict[str, Any] | None = None,
    t5: bool = False,
) -> Path:
    """Write a random model into a folder and give the folder back.

    Args:
        vae: further settings of the autoencoder's config, such as scaling_factor.
        scheduler: likewise of the scheduler's.
        t5: whether a model in the layout of SD 3 has its third text encoder.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _save(folder, "vae", _autoencoder(channels, tiny_vae, vae or {}), dtype)
        index: dict[str, Any] = {"vae": ["diffusers", "AutoencoderTiny" if tiny_vae else "AutoencoderKL"]}
        _save_texts(folder, layout, dtype, token_limit, index)
        if t5:
            _save_t5(folder, dtype, index)
        denoiser = _transformer(latent_size, channels) if layout == "sd3" else _unet(latent_size, channels, layout)
        part = "transformer" if layout == "sd3" else "unet"
        _save(folder, part, denoiser, dtype)
        index[part] = ["diffusers", type(denoiser).__name__]
        index["scheduler"] = ["diffusers", _save_scheduler(folder, family, scheduler or {})]
    names = {"sd": "StableDiffusionPipeline", "xl": "StableDiffusionXLPipeline", "sd3": "StableDiffusion3Pipeline"}
    extra = {
        "sd": {"safety_checker": [None, None], "feature_extractor": [None, None]},
        "xl": {"force_zeros_for_empty_prompt": True},
        "sd3": {"text_encoder_3": [None, None], "tokenizer_3": [None, None]},
    }
    index = {"_class_name": names[layout], "_diffusers_version": "0.30.0", **extra[layout], **index}
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def _save(folder: Path, part: str, network: Any, dtype: torch.dtype) -> None:
    torch.nn.Module.to(network, dtype)  # diffusers' own `to` warns
    network.save_pretrained(folder / part)


def _autoencoder(channels: int, tiny: bool, extra: dict[str, Any]) -> torch.nn.Module:
    if tiny:
        return diffusers.AutoencoderTiny(
            latent_channels=channels,
            encoder_block_out_channels=(8, 8),
            decoder_block_out_channels=(8, 8),
            num_encoder_blocks=(1, 1),
            num_decoder_blocks=(1, 1),
            **extra,
        )
    return diffusers.AutoencoderKL(
        latent_channels=channels,
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=2,
        **{"mid_block_add_attention": False, **extra},
    )


def _unet(latent_size: int, channels: int, layout: Layout) -> torch.nn.Module:
    more: dict[str, Any] = {}
    if layout == "xl":
        more = {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 4,
            "projection_class_embeddings_input_dim": WIDTH + 6 * 4,
            "cross_attention_dim": 2 * WIDTH,
        }
    settings = {"cross_attention_dim": WIDTH, **more}
    return diffusers.UNet2DConditionModel(
        sample_size=latent_size,
        in_channels=channels,
        out_channels=channels,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(8, 16),
        layers_per_block=1,
        attention_head_dim=2,
        norm_num_groups=4,
        **settings,
    )


def _transformer(latent_size: int, channels: int) -> torch.nn.Module:
    return diffusers.SD3Transformer2DModel(
        sample_size=latent_size,
        patch_size=2,
        in_channels=channels,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=3 * WIDTH,
        caption_projection_dim=16,
        pooled_projection_dim=2 * WIDTH,
        out_channels=channels,
        pos_embed_max_size=latent_size,
    )


def _save_texts(folder: Path, layout: Layout, dtype: torch.dtype, limit: int, index: dict[str, Any]) -> None:
    suffixes = [""] if layout == "sd" else ["", "_2"]
    for suffix in suffixes:
        # SD XL uses the second encoder's projection alone, SD 3 those of both.
        projects = layout == "sd3" or suffix == "_2"
        tokenizer = letters_tokenizer(limit)
        tokenizer.save_pretrained(folder / f"tokenizer{suffix}")
        network = (CLIPTextModelWithProjection if projects else CLIPTextModel)(text_config(tokenizer, limit, **TEXT))
        _save(folder, f"text_encoder{suffix}", network, dtype)
        index[f"tokenizer{suffix}"] = ["transformers", "CLIPTokenizer"]
        index[f"text_encoder{suffix}"] = ["transformers", type(network).__name__]


def _save_t5(folder: Path, dtype: torch.dtype, index: dict[str, Any]) -> None:
    """One token per lower-case letter."""
    pieces = [
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", 0.0),
        ("\u2581", -1.0),
        *((chr(i), -1.0) for i in range(97, 123)),
    ]
    transformers.T5TokenizerFast(vocab=pieces, extra_ids=0, model_max_length=32).save_pretrained(folder / "tokenizer_3")
    config = T5Config(
        vocab_size=len(pieces),
        d_model=3 * WIDTH,
        d_kv=8,
        d_ff=WIDTH,
        num_layers=1,
        num_heads=2,
    )
    _save(folder, "text_encoder_3", T5EncoderModel(config), dtype)
    index["tokenizer_3"] = ["transformers", "T5TokenizerFast"]
    index["text_encoder_3"] = ["transformers", "T5EncoderModel"]


def _save_scheduler(folder: Path, family: Family, extra: dict[str, Any]) -> str:
    if family == "flow":
        scheduler: Any = diffusers.FlowMatchEulerDiscreteScheduler(**{"shift": 3.0, **extra})
    else:
        settings = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, **extra}
        scheduler = diffusers.DDIMScheduler(prediction_type=family, clip_sample=False, steps_offset=1, **settings)
    scheduler.save_pretrained(folder / "scheduler")
    return type(scheduler).__name__
