"""Whether a model can guide at all, judged from its small config files before any weights are loaded or downloaded."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.errors import UserError, first_line
from core.memory import is_out_of_memory
from guidance.autoencoder import pixel_factor
from guidance.camera_conditioning import FILE_NAME, POSE_NUMBERS, CameraConditioning, read_camera_conditioning
from guidance.known_families import FITTING, find_family
from guidance.model_families import ModelFamily
from guidance.model_source import ModelSource, denoiser_part
from guidance.noise_schedule import read_noise_schedule

AUTOENCODERS = ("AutoencoderKL", "AutoencoderTiny")
#: Files of which a tokenizer has at least one.
VOCABULARIES = ("tokenizer.json", "vocab.json", "spiece.model")
#: Height and width of latents beyond that of any model.
LARGEST_SIZE = 4096


@contextmanager
def followed(source: ModelSource) -> Iterator[None]:
    """Within this block, any error caused by a malformed config becomes a one-line UserError.

    Raises:
        UserError: naming the model and what it was.
    """
    try:
        yield
    except Exception as error:  # a config may hold anything, and each kind of thing fails in its own way
        if isinstance(error, UserError | OSError) or is_out_of_memory(error):
            raise
        raise UserError(
            f"model '{source.name}': its config files make no sense: {type(error).__name__}: {first_line(error)}"
        ) from error


def latent_size(source: ModelSource) -> int:
    """Height and width that a model's denoiser was trained with, in latents.

    Where its config has no place for them (Flux.1), they are those of the autoencoder's pictures.

    Raises:
        UserError: where its config does not say, or says no square.
    """
    part = denoiser_part(source)
    size = source.config(part).get("sample_size")
    if "sample_size" not in inspect.signature(source.part_class(part).__init__).parameters:
        vae = source.full_config("vae")
        size = int(vae["sample_size"]) // pixel_factor(vae)
    if isinstance(size, list) and len(set(size)) == 1:
        size = size[0]
    if not isinstance(size, int) or not 1 < size <= LARGEST_SIZE:
        wanted = f"no square sample_size from 2 to {LARGEST_SIZE}"
        raise UserError(f"model '{source.name}': its denoiser's config gives {wanted} (got {size})")
    return size


def size_step(source: ModelSource, family: type[ModelFamily]) -> int:
    """Multiples of this size fit the denoiser: a UNet halves latents several times, a transformer cuts them up."""
    config = source.config(family.denoiser)
    patch = int(config.get("patch_size") or 2 ** (len(config.get("block_out_channels") or (0,)) - 1))
    return patch * family.packing


def check_model(source: ModelSource, cameras: CameraConditioning | None = None, t5: bool = False) -> type[ModelFamily]:
    """Refuse a model whose configs say that it does not fit; give the family of one that does.

    Args:
        cameras: what the guidance will tell the denoiser of cameras; None for one that knows none.
        t5: whether the large text encoder is wanted that a family can do without.

    Raises:
        UserError: it is of another family, a part is missing or of an unknown class, the parts do not fit each other,
            or the denoiser wants to be told what the guidance cannot tell it.
    """
    family = find_family(source)
    vae_class = source.class_of("vae")
    if vae_class not in AUTOENCODERS:
        known = " or ".join(AUTOENCODERS)
        raise UserError(f"model '{source.name}': its 'vae' is of the class {vae_class}; {FITTING} ({known})")
    encoders = wanted_encoders(source, family, t5)
    for part in encoders:
        source.class_of(part)
        _check_tokenizer(source, tokenizer_of(part))
    network, vae = source.config(family.denoiser), source.config("vae")
    latent_size(source)
    _check_told(source, family, network, cameras)
    _check_channels(source, family, network, vae, cameras)
    if vae.get("scaling_factor") == 0:
        raise UserError(f"model '{source.name}': its VAE's scaling_factor is 0, so that all latents would be")
    read_noise_schedule(source.config("scheduler", "scheduler_config.json"))
    return family


def wanted_encoders(source: ModelSource, family: type[ModelFamily], t5: bool) -> tuple[str, ...]:
    """Folders of the text encoders that are read.

    Raises:
        UserError: T5 is wanted of a model that has none, or that never goes without.
    """
    if not t5:
        return family.text_encoders
    if any(source.class_of(part).startswith("T5") for part in family.text_encoders if source.has(part)):
        raise UserError(f"model '{source.name}': reads its T5 always; leave t5 out")
    if family.t5 is None or not source.has(family.t5):
        raise UserError(f"model '{source.name}': has no T5 text encoder; leave t5 out")
    return (*family.text_encoders, family.t5)


def tokenizer_of(encoder: str) -> str:
    """The folder of a text encoder's tokenizer: `text_encoder_2` -> `tokenizer_2`."""
    return encoder.replace("text_encoder", "tokenizer")


def _check_tokenizer(source: ModelSource, part: str) -> None:
    source.class_of(part)
    if source.folder is None:
        return  # a hub id's is downloaded, whatever its files are called
    folder = source.folder / part
    if not any((folder / name).is_file() for name in VOCABULARIES):
        wanted = " or ".join(VOCABULARIES)
        raise UserError(f"model '{source.name}': its '{part}' has no vocabulary: {Path(folder)} holds no {wanted}")


def _check_channels(
    source: ModelSource,
    family: type[ModelFamily],
    network: dict[str, Any],
    vae: dict[str, Any],
    cameras: CameraConditioning | None,
) -> None:
    taken, given = network.get("in_channels"), vae.get("latent_channels", 4) * family.packing**2
    told = cameras.n_channels if cameras else 0
    if taken == given + told:
        return
    if told:
        raise UserError(
            f"model '{source.name}': its denoiser takes {taken} channels; {given} of its VAE and {told} of ray maps, "
            f"which its {FILE_NAME} asks for, are {given + told}"
        )
    raise UserError(
        f"model '{source.name}': its denoiser takes {taken} channels and its VAE gives {given}. "
        "Inpainting and depth models do not fit; a text-to-image model does"
    )


def _check_told(
    source: ModelSource, family: type[ModelFamily], network: dict[str, Any], cameras: CameraConditioning | None
) -> None:
    """What a UNet may want to be told beside time and text."""
    if cameras is None:
        _check_plain(source, network)
    elif family.denoiser != "unet":
        raise UserError(f"model '{source.name}': its denoiser is no UNet2DConditionModel, which can be told cameras")
    elif cameras.pose != (_class_embedding(network) == ("projection", POSE_NUMBERS)):
        raise UserError(
            f"model '{source.name}': {FILE_NAME} says pose: {str(cameras.pose).lower()}, and its denoiser has "
            f"class_embed_type: {network.get('class_embed_type')} of "
            f"{network.get('projection_class_embeddings_input_dim')} numbers; "
            f"pose: true goes with projection of {POSE_NUMBERS}"
        )


def _check_plain(source: ModelSource, network: dict[str, Any]) -> None:
    """A denoiser that wants no more than time and text."""
    takes_poses = _class_embedding(network) == ("projection", POSE_NUMBERS)
    if read_camera_conditioning(source.folder) is not None or takes_poses:
        raise UserError(
            f"model '{source.name}': its denoiser wants to be told cameras, which plain latent guidance does not know; "
            "say {type: multi-view-sds} for guidance and {type: multi-view} for views"
        )
    for name in ("class_embed_type", "num_class_embeds"):
        if network.get(name) is not None:
            raise UserError(
                f"model '{source.name}': its denoiser wants to be told classes or cameras "
                f"({name}: {network[name]}), which plain latent guidance does not know; {FITTING}"
            )


def _class_embedding(network: dict[str, Any]) -> tuple[str | None, int | None]:
    return network.get("class_embed_type"), network.get("projection_class_embeddings_input_dim")
