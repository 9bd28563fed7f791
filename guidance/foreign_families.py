"""Models that cannot guide, by the names that people know them by, told from their small config files."""

import re
from pathlib import Path
from typing import Any

from guidance.model_source import ModelSource, denoiser_part

#: What stands in the name of a pipeline's class, of its denoiser's or of its scheduler's, and what the model is.
#: The first that is found counts.
_NAMES = {
    r"LatentConsistency|ConsistencyModel|CMStochastic": "a consistency model",
    r"Inpaint|PaintByExample|Fill": "an inpainting model",
    r"Depth2Img|DepthPipeline": "a depth-to-image model",
    r"Upscale|SuperResolution|LatentUpscale": "an upscaler",
    r"InstructPix2Pix|Kontext|ImageEdit|EditPipeline": "a model that edits pictures",
    r"^IF|DeepFloyd": "DeepFloyd IF",
    r"Kandinsky": "Kandinsky",
    r"UnCLIP|ImageVariation": "unCLIP",
    r"Video|3DCondition|SpatioTemporal|Motion|Animate|Transformer3D|Mochi|CogVideo|LTX|^Wan|Allegro|Latte|Cosmos": (
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
    r"LDMTextToImage|VQDiffusion|Amused|UVit": "a model without Stable Diffusion's autoencoder",
    r"^EDM": "an EDM model, such as Playground 2.5,",
}
#: Parts that only other families have.
_PARTS = {
    "movq": "Kandinsky",
    "depth_estimator": "a depth-to-image model",
    "image_normalizer": "unCLIP",
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


def is_distilled(source: ModelSource, add_ons: tuple[str, ...] = ()) -> bool:
    """Whether a model, or an add-on by its name, was distilled to do without guidance: scales near 1 suit it alone.

    Such models say so in their names, by a scheduler for few steps, or by being told how much guidance to imitate. An
    epsilon model with trailing timesteps is one: those with many steps have leading ones, but for zero terminal SNR,
    which epsilon does not go with.
    """
    names = [source.name, str(source.index.get("_name_or_path", ""))]
    denoiser = source.config(denoiser_part(source))
    names.append(str(denoiser.get("_name_or_path", "")))
    config = source.config("scheduler", "scheduler_config.json")
    scheduler, spacing = str(config.get("_class_name")), config.get("timestep_spacing")
    few_steps = (
        spacing == "trailing" and config.get("prediction_type", "epsilon") == "epsilon" and "Flow" not in scheduler
    )
    return (
        few_steps
        or bool(denoiser.get("guidance_embeds"))
        or scheduler in ("LCMScheduler", "TCDScheduler")
        or any(_DISTILLED.search(Path(name).name) for name in (*names, *add_ons))
    )
