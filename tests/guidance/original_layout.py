"""Tiny models written as single files, in the layout of Stable Diffusion's own code.

Names are those of CompVis/stable-diffusion, Stability-AI/stablediffusion (OpenCLIP) and Stability-AI/generative-models.
"""

import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
OPEN_CLIP = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}


def write_single_file(folder: Path, path: Path, open_clip: bool = False, **extra: Tensor) -> Path:
    """Write a tiny model of a folder as one file.

    Args:
        open_clip: whether the only text encoder is OpenCLIP's, as in Stable Diffusion 2.
        extra: further weights by their names.
    """
    written: dict[str, Tensor] = dict(extra)
    for name, weight in _weights(folder, "unet").items():
        written[f"model.diffusion_model.{_unet_name(name)}"] = weight
    for name, weight in _weights(folder, "vae").items():
        linear = "attentions" in name and weight.ndim == 2
        written[f"first_stage_model.{_vae_name(name)}"] = weight[:, :, None, None] if linear else weight
    is_xl = (folder / "text_encoder_2").is_dir()
    first = "conditioner.embedders.0." if is_xl else "cond_stage_model."
    if open_clip:
        written |= _as_open_clip(_weights(folder, "text_encoder"), f"{first}model.")
    else:
        for name, weight in _weights(folder, "text_encoder").items():
            written[f"{first}transformer.text_model.{name.removeprefix('text_model.')}"] = weight
    if is_xl:
        written |= _as_open_clip(_weights(folder, "text_encoder_2"), "conditioner.embedders.1.model.")
    save_file({name: weight.contiguous() for name, weight in written.items()}, path)
    return path


def _weights(folder: Path, part: str) -> dict[str, Tensor]:
    (file,) = (folder / part).glob("*.safetensors")
    return load_file(file)


def _unet_name(name: str, layers: int = 1) -> str:
    """A weight of a UNet with so many layers in each block."""
    for ours, theirs in UNET_ENDS.items():
        if name.startswith(f"{ours}."):
            return name.replace(ours, theirs, 1)
    match = re.fullmatch(r"(down_blocks|up_blocks)\.(\d+)\.(\w+)\.(\d+)\.(.+)", name)
    if match is None:
        kind, i, rest = re.fullmatch(r"mid_block\.(\w+)\.(\d+)\.(.+)", name).groups()  # pyright: ignore[reportOptionalMemberAccess]
        place = 1 if kind == "attentions" else 2 * int(i)
        return f"middle_block.{place}.{_inner(rest, RESNET) if kind == 'resnets' else rest}"
    side, level, kind, i, rest = match.groups()
    if side == "down_blocks":
        if kind == "downsamplers":
            return f"input_blocks.{1 + int(level) * (layers + 1) + layers}.0.op.{rest.removeprefix('conv.')}"
        block = f"input_blocks.{1 + int(level) * (layers + 1) + int(i)}"
    else:
        block = f"output_blocks.{int(level) * (layers + 1) + int(i)}"
        if kind == "upsamplers":  # behind the block's attention, which the first one of the tiny UNet has
            return f"output_blocks.{int(level) * (layers + 1) + layers}.{2 if level == '0' else 1}.{rest}"
    return f"{block}.1.{rest}" if kind == "attentions" else f"{block}.0.{_inner(rest, RESNET)}"


def _vae_name(name: str, levels: int = 2) -> str:
    """A weight of a VAE with so many levels."""
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", name)
    if "mid_block.attentions.0." in name:
        side, rest = name.split("mid_block.attentions.0.")
        return f"{side}mid.attn_1.{_inner(rest, VAE_ATTENTION)}"
    name = re.sub(r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d)\.", lambda found: f"up.{levels - 1 - int(found[1])}.", name)
    return name.replace("resnets.", "block.").replace("upsamplers.0", "upsample")


def _as_open_clip(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    weights = {name.removeprefix("text_model."): weight for name, weight in weights.items()}
    written: dict[str, Any] = {
        f"{prefix}token_embedding.weight": weights["embeddings.token_embedding.weight"],
        f"{prefix}positional_embedding": weights["embeddings.position_embedding.weight"],
    }
    if "text_projection.weight" in weights:
        written[f"{prefix}text_projection"] = weights["text_projection.weight"].T
    for name, weight in weights.items():
        if name.startswith("final_layer_norm."):
            written[f"{prefix}ln_final.{name.split('.')[1]}"] = weight
        match = re.fullmatch(r"encoder\.layers\.(\d+)\.(.+)", name)
        if match is None:
            continue
        block, rest = f"{prefix}transformer.resblocks.{match[1]}.", match[2]
        if rest.startswith("self_attn.q_proj."):
            kind = rest.split(".")[-1]
            three = [weights[name.replace("q_proj", each)] for each in ("q_proj", "k_proj", "v_proj")]
            written[f"{block}attn.in_proj_{kind}"] = torch.cat(three)
        elif not rest.startswith(("self_attn.k_proj.", "self_attn.v_proj.")):
            written[block + _inner(rest, OPEN_CLIP)] = weight
    return written


def _inner(rest: str, names: dict[str, str]) -> str:
    for ours, theirs in names.items():
        if rest.startswith(f"{ours}."):
            return rest.replace(ours, theirs, 1)
    raise AssertionError(rest)
