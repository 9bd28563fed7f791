"""Random LoRAs, textual inversions and ControlNets, written as trainers write them."""

from pathlib import Path
from typing import Any, Literal

import diffusers as untyped_diffusers
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

# Its names are made at run time, where pyright cannot see them.
diffusers: Any = untyped_diffusers

Style = Literal["diffusers", "kohya"]
RANK, ALPHA = 2, 3.0
#: Layers that are changed: attention of the denoiser and of the text encoders.
CHANGED = ("attn1.to_q", "attn2.to_v", "attn.to_q", "self_attn.q_proj", "self_attn.out_proj", "mlp.fc1")
#: How kohya's trainers call networks, where a model has one text encoder and where it has two.
_KOHYA = {"unet": "lora_unet", "text_encoder": "lora_te", "text_encoder_2": "lora_te2"}


def networks_of(pipeline: Any) -> dict[str, nn.Module]:
    """The networks of a pipeline that a LoRA may change, by their folders."""
    names = ("unet", "transformer", "text_encoder", "text_encoder_2")
    return {name: part for name in names if (part := getattr(pipeline, name, None)) is not None}


def changed_layers(network: nn.Module) -> dict[str, nn.Linear]:
    """The layers of a network that our LoRAs change."""
    return {
        name: part for name, part in network.named_modules() if isinstance(part, nn.Linear) and name.endswith(CHANGED)
    }


def write_lora(
    path: Path, pipeline: Any, style: Style = "diffusers", seed: int = 0, without: str = "none"
) -> dict[str, dict[str, Tensor]]:
    """Write a LoRA of all changed layers but those of one name; gives what it adds to weights at scale 1."""
    rng = torch.Generator().manual_seed(seed)
    written: dict[str, Tensor] = {}
    added: dict[str, dict[str, Tensor]] = {}
    parts = networks_of(pipeline)
    for part, network in parts.items():
        for name, layer in changed_layers(network).items():
            if name.endswith(without):
                continue
            down = torch.randn(RANK, layer.in_features, generator=rng)
            up = torch.randn(layer.out_features, RANK, generator=rng)
            scale = 1.0
            if style == "diffusers":
                written[f"{part}.{name}.lora_A.weight"], written[f"{part}.{name}.lora_B.weight"] = down, up
            else:
                key, scale = f"{_kohya_name(part, parts)}_{_kohya_layer(part, name)}", ALPHA / RANK
                written |= {
                    f"{key}.lora_down.weight": down,
                    f"{key}.lora_up.weight": up,
                    f"{key}.alpha": torch.tensor(ALPHA),
                }
            added.setdefault(part, {})[name] = scale * up @ down
    save_file(written, path, {"format": "pt"})
    return added


def _kohya_name(part: str, parts: dict[str, nn.Module]) -> str:
    return "lora_te1" if part == "text_encoder" and "text_encoder_2" in parts else _KOHYA[part]


def _kohya_layer(part: str, name: str) -> str:
    """Kohya names CLIP's layers as older versions of transformers did."""
    if part.startswith("text_encoder") and not name.startswith("text_model."):
        name = f"text_model.{name}"
    return name.replace(".", "_")


def add_by_hand(pipeline: Any, added: dict[str, dict[str, Tensor]], scale: float) -> None:
    """W + scale * what a LoRA adds, in a pipeline's own weights."""
    with torch.no_grad():
        for part, layers in added.items():
            for name, change in layers.items():
                layer: Any = networks_of(pipeline)[part].get_submodule(name)
                layer.weight += scale * change


def random_vectors(n_pieces: int, width: int, seed: int = 0) -> Tensor:
    """Embeddings for a word of so many pieces."""
    return torch.randn(n_pieces, width, generator=torch.Generator().manual_seed(seed))


def write_control(folder: Path, unet: Any, seed: int = 0, **changes: Any) -> Path:
    """Write a ControlNet that a UNet can be steered by, with random weights where it would begin with zeros.

    Args:
        changes: what its conditioning is made otherwise, such as conditioning_channels.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        settings = {"conditioning_embedding_out_channels": (4, 8), **changes}
        control = diffusers.ControlNetModel.from_unet(unet, **settings)
        for name, weight in control.named_parameters():
            if not weight.any() and name.endswith("weight"):
                torch.nn.init.normal_(weight, std=0.3)
    control.save_pretrained(folder)
    return folder
