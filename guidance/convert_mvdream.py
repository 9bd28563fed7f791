"""Turns MVDream's published checkpoint into a folder that `multi-view-sds` reads:

    python -m guidance.convert_mvdream sd-v2.1-base-4view.pt models/mvdream --tokenizer FOLDER

The tokenizer is CLIP's, which no checkpoint holds: --tokenizer takes a folder with vocab.json and merges.txt (or
tokenizer.json), as every Stable Diffusion's `tokenizer/` is, or a hub id.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.errors import UserError, first_line
from core.files import write_json
from guidance.camera_conditioning import FILE_NAME
from guidance.mvdream_layout import (
    CAMERAS,
    SCHEDULER,
    TEXT,
    UNET,
    VAE,
    n_text_blocks,
    text_config,
    unet_config,
    vae_config,
)

#: Where the tokenizer comes from unless one is given; OpenCLIP's has the same words.
TOKENIZER = "openai/clip-vit-large-patch14"


def main(arguments: Sequence[str]) -> int:
    """Run the command; faults of the input are one line on stderr."""
    parser = argparse.ArgumentParser(prog="guidance.convert_mvdream", description="MVDream's checkpoint as a folder.")
    parser.add_argument("checkpoint", type=Path, help="sd-v2.1-base-4view.pt")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write; must not be there yet")
    parser.add_argument(
        "--tokenizer",
        default=TOKENIZER,
        metavar="FOLDER",
        help=f"CLIP's tokenizer: a folder, or a hub id ({TOKENIZER})",
    )
    options = parser.parse_args(arguments)
    try:
        convert(options.checkpoint, options.out, options.tokenizer)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{options.out}: for guidance {{type: multi-view-sds, model: {options.out}}}")
    return 0


def convert(checkpoint: Path, out: Path, tokenizer: str = TOKENIZER) -> None:
    """Write the folder; `model_index.json` last, so that a folder cut off on the way is taken for no model.

    Raises:
        UserError: the folder is there, the checkpoint is no such one, or there is no tokenizer.
    """
    if out.exists():
        raise UserError(f"{out}: is there already; name a new folder")
    reads_text = _tokenizer(tokenizer)
    networks = _networks(checkpoint, _read(checkpoint))
    import diffusers as untyped_diffusers

    diffusers: Any = untyped_diffusers
    parts = {**networks, "tokenizer": reads_text, "scheduler": diffusers.DDIMScheduler(**SCHEDULER)}
    for name, part in parts.items():
        part.save_pretrained(out / name)
    (out / FILE_NAME).write_text(json.dumps(CAMERAS) + "\n", encoding="utf-8")
    index: dict[str, Any] = {"_class_name": "StableDiffusionPipeline", "_diffusers_version": diffusers.__version__}
    for name, part in parts.items():
        index[name] = [type(part).__module__.split(".")[0], type(part).__name__]
    index |= {"safety_checker": [None, None], "feature_extractor": [None, None]}
    write_json(out / "model_index.json", index)


def _read(path: Path) -> dict[str, Tensor]:
    """The checkpoint's tensors; nothing else is unpickled."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; MVDream's is called sd-v2.1-base-4view.pt") from error
    except Exception as error:  # of torch and of zip files: a dozen kinds
        raise UserError(f"{path}: cannot be read as weights alone: {first_line(error)}") from error
    weights = content.get("state_dict", content) if isinstance(content, dict) else {}
    return {name: weight for name, weight in weights.items() if isinstance(weight, Tensor)}


def _tokenizer(place: str) -> Any:
    from transformers import CLIPTokenizer

    try:
        tokenizer = CLIPTokenizer.from_pretrained(place)
    except Exception as error:  # likewise
        raise UserError(
            f"--tokenizer: '{place}' is no folder with CLIP's vocab.json and merges.txt (or tokenizer.json), and none "
            "that huggingface.co gives; the tokenizer/ of any Stable Diffusion will do"
        ) from error
    # OpenCLIP fills a text up with the first token; CLIP's own does so with the last.
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(0)
    return tokenizer


def _networks(path: Path, weights: dict[str, Tensor]) -> dict[str, Any]:
    """UNet, autoencoder and text encoder with the checkpoint's weights; every tensor that they have is filled.

    Raises:
        UserError: tensors are missing or of other shapes.
    """
    try:
        return {"unet": _unet(weights), "vae": _vae(weights), "text_encoder": _text_encoder(weights)}
    except (KeyError, ValueError, RuntimeError) as error:
        first = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not MVDream's checkpoint of Stable Diffusion 2.1: {first}") from error


def _unet(weights: dict[str, Tensor]) -> Any:
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    # diffusers knows the two layers of MVDream's camera embedding as those of a class embedding.
    named = {name.replace("camera_embed.", "label_emb.0."): w for name, w in weights.items() if name.startswith(UNET)}
    return _filled(
        UNet2DConditionModel, unet_config(weights), lambda made: convert_ldm_unet_checkpoint(named, made.config)
    )


def _vae(weights: dict[str, Tensor]) -> Any:
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    named = {name: weight for name, weight in weights.items() if name.startswith(VAE)}
    return _filled(AutoencoderKL, vae_config(weights), lambda made: convert_ldm_vae_checkpoint(named, made.config))


def _text_encoder(weights: dict[str, Tensor]) -> Any:
    from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint
    from transformers import CLIPTextConfig, CLIPTextModel

    last = f"{TEXT}transformer.resblocks.{n_text_blocks(weights) - 1}."
    named = {name: w for name, w in weights.items() if name.startswith(TEXT) and not name.startswith(last)}

    def converted(made: Any) -> dict[str, Tensor]:
        known = made.state_dict()
        tensors = convert_open_clip_checkpoint(made, named, prefix=TEXT)
        # Some versions of transformers wrap the encoder once more, and it has no projection.
        bare = {name.removeprefix("text_model."): tensor for name, tensor in tensors.items()}
        return {name: bare[name.removeprefix("text_model.")] for name in known}

    return _filled(lambda **settings: CLIPTextModel(CLIPTextConfig(**settings)), text_config(weights), converted)


def _filled(kind: Callable[..., Any], settings: dict[str, Any], converted: Callable[[Any], dict[str, Tensor]]) -> Any:
    """A network of these settings with these weights, all of them and no others."""
    made = kind(**settings)
    made.load_state_dict(converted(made), strict=True)
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
