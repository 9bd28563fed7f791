"""The families of models that can guide, and which one a model is of.

To add one, subclass `ModelFamily` (model_families.py, transformer_families.py) and list it in FAMILIES and
_TRANSFORMERS, with a test of equality to diffusers' pipeline (tests/guidance/test_equal_to_diffusers.py).
"""

from core.errors import UserError
from guidance.foreign_families import foreign_family
from guidance.model_families import ModelFamily, StableDiffusion, StableDiffusionXL
from guidance.model_source import ModelSource, denoiser_part
from guidance.transformer_families import Flux, PixArtSigma, StableDiffusion3

FAMILIES = (StableDiffusion, StableDiffusionXL, StableDiffusion3, Flux, PixArtSigma)
#: The second half of a refusal.
FITTING = f"what fits: {', '.join(family.title for family in FAMILIES)}"
#: By the class of the denoiser that model_index.json names; PixArt-Sigma was published with the general one.
_TRANSFORMERS: dict[str, type[ModelFamily]] = {
    "SD3Transformer2DModel": StableDiffusion3,
    "FluxTransformer2DModel": Flux,
    "PixArtTransformer2DModel": PixArtSigma,
    "Transformer2DModel": PixArtSigma,
}
_UNET = "UNet2DConditionModel"


def find_family(source: ModelSource) -> type[ModelFamily]:
    """The family of a model, from its model_index.json and its denoiser's config.

    Raises:
        UserError: it is of another family, which is named, or has no denoiser.
    """
    if foreign := foreign_family(source):
        raise UserError(f"model '{source.name}': {foreign} cannot guide; {FITTING}")
    part = denoiser_part(source)
    if not source.has(part):
        raise UserError(f"model '{source.name}': has no '{part}', which latent guidance needs; {FITTING}")
    name = source.class_of(part)
    if name == _UNET:
        is_xl = source.config(part).get("addition_embed_type") == "text_time"
        return StableDiffusionXL if is_xl else StableDiffusion
    if name not in _TRANSFORMERS:
        known = " or ".join((_UNET, *_TRANSFORMERS))
        raise UserError(f"model '{source.name}': its '{part}' is of the class {name}; {FITTING} ({known})")
    return _TRANSFORMERS[name]
