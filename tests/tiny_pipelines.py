"""Random diffusion models of a few thousand weights in the layouts of all families that can guide.

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
Layout = Literal["sd", "xl", "sd3", "flux", "pixart"]
T5_TOKENS = 32
PIPELINES: dict[Layout, str] = {
    "sd": "StableDiffusionPipeline",
    "xl": "StableDiffusionXLPipeline",
    "sd3": "StableDiffusion3Pipeline",
    "flux": "FluxPipeline",
    "pixart": "PixArtSigmaPipeline",
}
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
    transformer: dict[str, Any] | None = None,
) -> Path:
    """Write a random model into a folder and give the folder back.

    Args:
        vae: further settings of the autoencoder's config, such as scaling_factor.
        scheduler: likewise of the scheduler's.
        t5: whether a model in the layout of SD 3 has its third text encoder; Flux and PixArt have no other layout.
        transformer: further settings of the denoiser's config, where it is one.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pictures = {} if tiny_vae else {"sample_size": 2 * latent_size}
        _save(folder, "vae", _autoencoder(channels, tiny_vae, {**pictures, **(vae or {})}), dtype)
        index: dict[str, Any] = {"vae": ["diffusers", "AutoencoderTiny" if tiny_vae else "AutoencoderKL"]}
        _save_texts(folder, layout, dtype, token_limit, index, t5)
        is_unet = layout in ("sd", "xl")
        made = _unet if is_unet else _transformer
        denoiser, part = made(latent_size, channels, layout, transformer or {}), "unet" if is_unet else "transformer"
        _save(folder, part, denoiser, dtype)
        index[part] = ["diffusers", type(denoiser).__name__]
        index["scheduler"] = ["diffusers", _save_scheduler(folder, family, scheduler or {})]
    extra = {
        "sd": {"safety_checker": [None, None], "feature_extractor": [None, None]},
        "xl": {"force_zeros_for_empty_prompt": True},
        "sd3": {"text_encoder_3": [None, None], "tokenizer_3": [None, None]},
    }
    index = {"_class_name": PIPELINES[layout], "_diffusers_version": "0.30.0", **extra.get(layout, {}), **index}
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


def _unet(latent_size: int, channels: int, layout: Layout, more: dict[str, Any]) -> torch.nn.Module:
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


def _transformer(latent_size: int, channels: int, layout: Layout, more: dict[str, Any]) -> torch.nn.Module:
    shared = {"num_layers": 1, "attention_head_dim": 8, "num_attention_heads": 2, **more}
    if layout == "flux":
        return diffusers.FluxTransformer2DModel(
            in_channels=4 * channels,
            num_single_layers=1,
            joint_attention_dim=WIDTH,
            pooled_projection_dim=WIDTH,
            axes_dims_rope=(2, 2, 4),
            **shared,
        )
    if layout == "pixart":
        return diffusers.PixArtTransformer2DModel(
            sample_size=latent_size,
            in_channels=channels,
            out_channels=2 * channels,
            cross_attention_dim=16,
            caption_channels=WIDTH,
            **shared,
        )
    return diffusers.SD3Transformer2DModel(
        sample_size=latent_size,
        patch_size=2,
        in_channels=channels,
        joint_attention_dim=3 * WIDTH,
        caption_projection_dim=16,
        pooled_projection_dim=2 * WIDTH,
        out_channels=channels,
        pos_embed_max_size=latent_size,
        **shared,
    )


def _save_texts(folder: Path, layout: Layout, dtype: torch.dtype, limit: int, index: dict[str, Any], t5: bool) -> None:
    if layout == "pixart":
        _save_t5(folder, dtype, index, "", WIDTH)
        return
    if layout == "flux":
        _save_t5(folder, dtype, index, "_2", WIDTH)
    if t5:
        _save_t5(folder, dtype, index, "_3", 3 * WIDTH)
    for suffix in [""] if layout in ("sd", "flux") else ["", "_2"]:
        # SD XL uses the second encoder's projection alone, SD 3 those of both.
        projects = layout == "sd3" or suffix == "_2"
        tokenizer = letters_tokenizer(limit)
        tokenizer.save_pretrained(folder / f"tokenizer{suffix}")
        network = (CLIPTextModelWithProjection if projects else CLIPTextModel)(text_config(tokenizer, limit, **TEXT))
        _save(folder, f"text_encoder{suffix}", network, dtype)
        index[f"tokenizer{suffix}"] = ["transformers", "CLIPTokenizer"]
        index[f"text_encoder{suffix}"] = ["transformers", type(network).__name__]


def _save_t5(folder: Path, dtype: torch.dtype, index: dict[str, Any], suffix: str, width: int) -> None:
    """One token per lower-case letter."""
    pieces = [
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", 0.0),
        ("\u2581", -1.0),
        *((chr(i), -1.0) for i in range(97, 123)),
    ]
    tokenizer = transformers.T5TokenizerFast(vocab=pieces, extra_ids=0, model_max_length=T5_TOKENS)
    tokenizer.save_pretrained(folder / f"tokenizer{suffix}")
    config = T5Config(
        vocab_size=len(pieces),
        d_model=width,
        d_kv=8,
        d_ff=WIDTH,
        num_layers=1,
        num_heads=2,
    )
    _save(folder, f"text_encoder{suffix}", T5EncoderModel(config), dtype)
    index[f"tokenizer{suffix}"] = ["transformers", "T5TokenizerFast"]
    index[f"text_encoder{suffix}"] = ["transformers", "T5EncoderModel"]


def _save_scheduler(folder: Path, family: Family, extra: dict[str, Any]) -> str:
    if family == "flow":
        scheduler: Any = diffusers.FlowMatchEulerDiscreteScheduler(**{"shift": 3.0, **extra})
    else:
        settings = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, **extra}
        scheduler = diffusers.DDIMScheduler(prediction_type=family, clip_sample=False, steps_offset=1, **settings)
    scheduler.save_pretrained(folder / "scheduler")
    return type(scheduler).__name__
