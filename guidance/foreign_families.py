"""Models that cannot guide, by the names that people know them by, told from their small config files."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from guidance.model_source import ModelSource, denoiser_part

#: What stands in the name of a pipeline's class, of its denoiser's or of its scheduler's, and what the model is.
#: The first that is found counts.
_NAMES = {
    r"Marigold": "a model that estimates depth or normals",
    r"LatentConsistency|ConsistencyModel|CMStochastic": "a consistency model",
    r"Inpaint|PaintByExample|Fill": "an inpainting model",
    r"Depth2Img": "a depth-to-image model",
    r"Upscale|SuperResolution|LatentUpscale": "an upscaler",
    r"InstructPix2Pix|Kontext|ImageEdit|EditPipeline": "a model that edits pictures",
    r"^IF|DeepFloyd": "DeepFloyd IF",
    r"Kandinsky": "Kandinsky",
    r"UnCLIP|ImageVariation": "unCLIP",
    r"Video|3DCondition|SpatioTemporal|Motion|Animate|Transformer3D|I2VGen|Mochi|LTX|^Wan|Allegro|Latte|Cosmos": (
        "a video model"
    ),
    r"Audio|Music|Dance": "an audio model",
    r"PixArtAlpha": "PixArt-Alpha",
    r"Sana": "Sana",
    r"Flux2": "Flux.2",
    r"FluxControl|FluxPrior": "a Flux.1 that is shown pictures",
    r"StableCascade|Wuerstchen": "Stable Cascade",
    r"Hunyuan": "Hunyuan-DiT",
    r"AuraFlow": "AuraFlow",
    r"Lumina": "Lumina",
    r"Kolors": "Kolors",
    r"CogView": "CogView",
    r"Qwen": "Qwen-Image",
    r"Chroma": "Chroma",
    r"HiDream": "HiDream",
    r"ZImage": "Z-Image",
    r"OmniGen": "OmniGen",
    r"^Bria": "Bria",
    r"^AltDiffusion": "AltDiffusion",
    r"^UniDiffuser": "UniDiffuser",
    r"^DiT": "DiT, which is told classes,",
    r"^ShapE": "Shap-E, which makes shapes,",
    r"LDMTextToImage|VQDiffusion|Amused|UVit": "a model without Stable Diffusion's autoencoder",
    r"^EDM": "an EDM model, such as Playground 2.5,",
}
#: Parts that only other families have.
_PARTS = {
    "movq": "Kandinsky",
    "depth_estimator": "a depth-to-image model",
    "image_normalizer": "unCLIP",
}
#: Parts that show a denoiser more than texts, without which it works too, and what is to be said of them.
_LEFT_OUT = {
    "controlnet": "its ControlNet is left out; `control` takes it by its folder",
    "adapter": "its T2I-Adapter is left out, and it is told texts alone",
}
#: Denoisers that both PixArts have.
_PIXARTS = ("PixArtTransformer2DModel", "Transformer2DModel")
#: Words in a model's or a LoRA's name that say that it was distilled to do without guidance.
_DISTILLED = re.compile(
    r"turbo|lightning|hyper-?sd|(?<![a-z])lcm(?![a-z])|schnell|(?<![a-z])dmd2?(?![a-z])|distill", re.IGNORECASE
)


def foreign_family(source: ModelSource) -> str | None:
    """What a model is that cannot guide, with the class that says so; None for one that may."""
    named = [str(source.index.get("_class_name")), *(entry[1] for entry in source.parts().values())]
    for name in named:
        for pattern, title in _NAMES.items():
            if re.search(pattern, name):
                return f"{title} ({name})"
    for part, title in _PARTS.items():
        if source.has(part):
            return f"{title} (it has a '{part}')"
    if source.index.get("requires_aesthetics_score"):
        return "the refiner of Stable Diffusion XL (requires_aesthetics_score)"
    classes = {part: entry[1] for part, entry in source.parts().items()}
    if classes.get("transformer") in _PIXARTS and source.config("transformer").get("use_additional_conditions"):
        return "PixArt-Alpha (its denoiser has use_additional_conditions)"
    return _by_unet(source.config("unet")) if source.has("unet") else None


def _by_unet(config: dict[str, Any]) -> str | None:
    """What a UNet's config says that the names do not."""
    if config.get("time_cond_proj_dim") is not None:
        return "a consistency model (its denoiser has time_cond_proj_dim), which gives no score,"
    if config.get("in_channels") in (5, 9) and config.get("out_channels") == 4:
        kind = "a depth-to-image" if config["in_channels"] == 5 else "an inpainting"
        return f"{kind} model (its denoiser takes {config['in_channels']} channels)"
    if str(config.get("addition_embed_type")) in ("image", "text_image", "image_hint"):
        return f"Kandinsky (its denoiser has addition_embed_type: {config['addition_embed_type']})"
    if config.get("encoder_hid_dim_type") is not None:
        return (
            f"a model told by other encoders (its denoiser has encoder_hid_dim_type: {config['encoder_hid_dim_type']})"
        )
    return None


def left_out(source: ModelSource) -> str | None:
    """What a model could be told or shown beside texts, and is not, in one line; None where that is nothing."""
    for part, said in _LEFT_OUT.items():
        if source.has(part):
            return said
    if source.has("unet") and str(source.config("unet").get("attention_type")).startswith("gated"):
        return "its boxes (GLIGEN) are left out, and it is told texts alone"
    return None


def is_distilled(source: ModelSource, add_ons: Sequence[Path] = ()) -> bool:
    """Whether a model, or an add-on by its name, was distilled to do without guidance: scales near 1 suit it alone.

    Such models say so in their names, by a scheduler for few steps, or by being told how much guidance to imitate. An
    epsilon model with trailing timesteps is one: those with many steps have leading ones, but for zero terminal SNR,
    which epsilon does not go with.
    """
    denoiser = source.config(denoiser_part(source))
    said = (source.name, *(str(config.get("_name_or_path", "")) for config in (source.index, denoiser)))
    names = [name for each in said for name in (Path(each).name, *_cached(Path(each)))]
    # An add-on's file often has the name that diffusers gives to all.
    names += [name for path in add_ons for name in (path.name, path.parent.name, *_cached(path))]
    config = source.config("scheduler", "scheduler_config.json")
    scheduler, spacing = str(config.get("_class_name")), config.get("timestep_spacing")
    few_steps = (
        spacing == "trailing" and config.get("prediction_type", "epsilon") == "epsilon" and "Flow" not in scheduler
    )
    return (
        few_steps
        or bool(denoiser.get("guidance_embeds"))
        or scheduler in ("LCMScheduler", "TCDScheduler")
        or any(map(_DISTILLED.search, names))
    )


def _cached(path: Path) -> list[str]:
    """The folder of the hub's cache that a path leads through: models--owner--name, where nothing else has a name."""
    return [part for part in path.parts if part.startswith("models--")]
