"""LoRAs: what they add is merged into a network's weights when it is loaded, W + scale * alpha / rank * B A.

Files as diffusers writes them and as kohya's trainers do, for a denoiser and for text encoders; diffusers reads both.

Source: LoRA (arXiv:2106.09685), eq. 3.
"""

import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from core.errors import UserError, first_line, require
from guidance.model_weights import refuse_pickle

#: How the weights of the first, narrow matrix end in files, and in a network that has read them.
_FIRST_IN_FILE = re.compile(r"(?:lora_A|[._]down)\.weight$")
#: Other sorts of small changes that kohya's trainers write, by what their keys hold.
_LYCORIS = {"hada_": "LoHa", "lokr_": "LoKr"}
#: How diffusers names attention of text encoders in kohya's files; it drops them itself where no output is changed.
_OLD = re.compile(r"^(text_encoder.*)\.to_(q|k|v|out)_lora\.(?=\w+\.weight$)")


@dataclass(frozen=True)
class LoraFile:
    """One LoRA of a recipe."""

    path: Path
    """Its file, *.safetensors."""
    scale: float = 1.0
    """How strongly it counts; 0 leaves the model as it is."""

    def __post_init__(self) -> None:
        require(-10 <= self.scale <= 10, f"scale: from -10 to 10, got {self.scale:g}")


def check_lora(lora: LoraFile) -> None:
    """Refuse a file that is none, before a model is loaded for it.

    Raises:
        UserError: it is missing, a folder, a pickle, or holds no LoRA.
    """
    path = lora.path
    if path.is_dir():
        inside = sorted(str(file) for file in (*path.glob("*.safetensors"), *path.glob("snapshots/*/*.safetensors")))
        told = f"; give the file in it: {' or '.join(inside[:4])}" if inside else " without any *.safetensors"
        raise UserError(f"{path} is a folder{told}")
    if not path.is_file():
        raise UserError(f"no file {path}; give a LoRA's *.safetensors on this disk (hub ids are not read)")
    refuse_pickle(path)
    try:
        with safe_open(path, "pt") as file:
            keys = list(file.keys())
    except Exception as error:  # safetensors has an error of its own, which is no OSError
        raise UserError(f"{path} cannot be read: {first_line(error)}") from error
    for mark, kind in _LYCORIS.items():
        if any(mark in key for key in keys):
            raise UserError(f"{path} is a LyCORIS of the kind {kind}, which is not read; a plain LoRA (LoCon) is")
    if not any("lora" in key for key in keys):
        raise UserError(
            f"{path} holds no LoRA: none of its {len(keys)} keys names one, the first is '{min(keys, default='')}'"
        )


def merge_loras(network: nn.Module, part: str, loras: Sequence[LoraFile], pipeline: Any, parts: Sequence[str]) -> None:
    """Add LoRAs to a network that has just been loaded.

    Args:
        part: its folder, such as `unet` or `text_encoder_2`.
        pipeline: diffusers' class of the model's family.
        parts: folders of all networks that a LoRA of this model may speak of.

    Raises:
        UserError: a file speaks of networks or layers that the model does not have.
    """
    for i, lora in enumerate(loras):
        with torch.random.fork_rng(devices=[]):  # peft draws first values before it takes those of the file
            n_layers = _load(network, part, lora, pipeline, parts, f"lora_{i}")
        if n_layers:
            _merge(network, f"lora_{i}", lora.scale)


def _load(network: Any, part: str, lora: LoraFile, pipeline: Any, parts: Sequence[str], name: str) -> int:
    """Put a LoRA's layers beside a network's; gives how many there are."""
    where = f"LoRA {lora.path}"
    options: dict[str, Any] = {"unet_config": network.config} if part == "unet" else {}
    if "return_alphas" in inspect.signature(pipeline.lora_state_dict).parameters:
        options["return_alphas"] = True
    try:
        state, *rest = pipeline.lora_state_dict(lora.path, use_safetensors=True, return_lora_metadata=True, **options)
    except Exception as error:  # of three libraries
        raise UserError(f"{where}: cannot be read: {first_line(error)}") from error
    alphas, metadata = rest if len(rest) == 2 else (None, rest[0])
    state = {_OLD.sub(r"\1.\2_proj.lora_linear_layer.", key): value for key, value in state.items()}
    strange = sorted({key.split(".")[0] for key in state} - set(parts))
    if strange:
        raise UserError(
            f"{where}: made for another family of models: it changes '{strange[0]}'; this one has {', '.join(parts)}"
        )
    n_wanted = sum(1 for key in state if key.startswith(f"{part}.") and _FIRST_IN_FILE.search(key))
    if n_wanted == 0:
        return 0
    told = {"adapter_name": name, "metadata": metadata}
    try:
        if part.startswith("text_encoder"):
            pipeline.load_lora_into_text_encoder(state, alphas, text_encoder=network, prefix=part, **told)
        elif part == "transformer":
            takes_alphas = "network_alphas" in inspect.signature(pipeline.load_lora_into_transformer).parameters
            told |= {"network_alphas": alphas} if takes_alphas else {}
            pipeline.load_lora_into_transformer(state, transformer=network, **told)
        else:
            pipeline.load_lora_into_unet(state, alphas, unet=network, **told)
    except Exception as error:  # of three libraries
        raise UserError(f"{where}: does not fit the model's '{part}': {first_line(error)}") from error
    n_read = sum(1 for key, _ in network.named_parameters() if key.endswith(f"lora_A.{name}.weight"))
    if n_read != n_wanted:
        raise UserError(
            f"{where}: does not fit the model's '{part}': it has {n_read} of the {n_wanted} layers that are changed"
        )
    return n_read


def _merge(network: Any, name: str, scale: float) -> None:
    """Make the layers one with the network's own, which then is as fast as before."""
    from diffusers.utils.peft_utils import recurse_remove_peft_layers, set_weights_and_activate_adapters
    from peft.tuners.tuners_utils import BaseTunerLayer

    set_weights_and_activate_adapters(network, [name], [scale])
    for module in network.modules():
        if isinstance(module, BaseTunerLayer):
            module.merge(adapter_names=[name])
    recurse_remove_peft_layers(network)
    del network.peft_config
    network._hf_peft_config_loaded = False
