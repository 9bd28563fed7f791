"""Models that cannot guide are refused from their config files: no weights are there to be loaded."""

import json
import os
from pathlib import Path
from typing import Any

import diffusers as untyped_diffusers
import pytest

from core.errors import UserError
from guidance.foreign_families import is_distilled
from guidance.latent_diffusion import LatentDiffusion
from guidance.latent_sds import LatentSDS
from guidance.model_gate import check_model, latent_size, size_step, wanted_encoders
from guidance.model_source import ModelSource, find_model
from tests.tiny_pipelines import Family, Layout, make_tiny_model

# Its names are made at run time, where pyright cannot see them.
diffusers: Any = untyped_diffusers


def _edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _without_weights(folder: Path) -> ModelSource:
    """The model's source, after all weights of it have been deleted."""
    weights = list(folder.rglob("*.safetensors"))
    assert weights
    for path in weights:
        path.unlink()
    return find_model(str(folder))


@pytest.mark.parametrize(
    ("family", "layout"),
    [("epsilon", "sd"), ("epsilon", "xl"), ("flow", "sd3"), ("flow", "flux"), ("epsilon", "pixart")],
)
def test_models_that_fit_pass_without_their_weights(family: Family, layout: Layout, tmp_path: Path):
    check_model(_without_weights(make_tiny_model(tmp_path, family, layout)))


@pytest.mark.parametrize("part", ["vae", "unet", "text_encoder", "tokenizer"])
def test_a_missing_part_is_named(part: str, tmp_path: Path):
    folder = make_tiny_model(tmp_path)
    _edit(folder / "model_index.json", **{part: [None, None]})
    with pytest.raises(UserError, match=f"has no '{part}', which latent guidance needs"):
        check_model(_without_weights(folder))


def test_code_of_other_libraries_is_not_run(tmp_path: Path):
    folder = make_tiny_model(tmp_path)
    _edit(folder / "model_index.json", vae=["os", "system"])
    with pytest.raises(UserError, match="its 'vae' is code of 'os'"):
        check_model(_without_weights(folder))


def test_a_class_that_the_library_does_not_have(tmp_path: Path):
    folder = make_tiny_model(tmp_path)
    _edit(folder / "model_index.json", vae=["diffusers", "AutoencoderOfTomorrow"])
    with pytest.raises(UserError, match="diffusers has no class 'AutoencoderOfTomorrow' for its 'vae'"):
        check_model(_without_weights(folder))


def test_an_inpainting_model_does_not_fit(tmp_path: Path):
    folder = make_tiny_model(tmp_path)
    wide = make_tiny_model(tmp_path / "wide", channels=9)
    (folder / "unet").rename(folder / "narrow")
    (wide / "unet").rename(folder / "unet")
    with pytest.raises(UserError, match="its denoiser takes 9 channels and its VAE gives 4"):
        check_model(_without_weights(folder))


@pytest.mark.parametrize(("size", "complaint"), [([8, 16], r"got \[8, 16\]"), (None, "got None")])
def test_a_model_that_says_no_square_size(size: object, complaint: str, tmp_path: Path):
    folder = make_tiny_model(tmp_path)
    _edit(folder / "unet" / "config.json", sample_size=size)
    with pytest.raises(UserError, match=f"no square sample_size .*{complaint}"):
        latent_size(find_model(str(folder)))


def test_flux_has_the_size_of_its_autoencoders_pictures_and_takes_squares_of_four(tmp_path: Path):
    source = _without_weights(make_tiny_model(tmp_path, "flow", "flux", latent_size=12))
    assert (latent_size(source), size_step(source, check_model(source))) == (12, 2)
    _edit(tmp_path / "transformer" / "config.json", in_channels=32)
    with pytest.raises(UserError, match="its denoiser takes 32 channels and its VAE gives 16"):
        check_model(find_model(str(tmp_path)))


def test_pixart_alpha_is_told_from_sigma_by_its_denoiser(tmp_path: Path):
    """The same class, and in folders of either name."""
    source = _without_weights(make_tiny_model(tmp_path, layout="pixart"))
    _edit(tmp_path / "model_index.json", transformer=["diffusers", "Transformer2DModel"])
    check_model(find_model(str(tmp_path)))
    _edit(tmp_path / "transformer" / "config.json", use_additional_conditions=True)
    with pytest.raises(UserError, match=r"PixArt-Alpha \(its denoiser has use_additional_conditions\) cannot guide"):
        check_model(source)


def test_a_square_may_be_given_as_a_pair(tmp_path: Path):
    folder = make_tiny_model(tmp_path)
    _edit(folder / "unet" / "config.json", sample_size=[8, 8])
    assert latent_size(find_model(str(folder))) == 8


def test_a_vae_of_an_unknown_class_is_named(tmp_path: Path):
    folder = make_tiny_model(tmp_path)
    _edit(folder / "model_index.json", vae=["diffusers", "AutoencoderKLWan"])
    with pytest.raises(
        UserError, match=r"its 'vae' is of the class AutoencoderKLWan; .*\(AutoencoderKL or AutoencoderTiny\)$"
    ):
        check_model(_without_weights(folder))


FITTING = (
    "what fits: Stable Diffusion 1.x and 2.x, Stable Diffusion XL, Stable Diffusion 3 and 3.5, Flux.1, PixArt-Sigma"
)


@pytest.mark.parametrize(
    ("pipeline", "part", "named"),
    [
        ("IFPipeline", ["unet", "UNet2DConditionModel"], "DeepFloyd IF (IFPipeline)"),
        ("KandinskyPipeline", ["unet", "UNet2DConditionModel"], "Kandinsky (KandinskyPipeline)"),
        ("KandinskyV22Pipeline", ["movq", "VQModel"], "Kandinsky (KandinskyV22Pipeline)"),
        ("StableDiffusionInpaintPipeline", ["unet", "UNet2DConditionModel"], "an inpainting model"),
        ("StableDiffusionXLInpaintPipeline", ["unet", "UNet2DConditionModel"], "an inpainting model"),
        ("StableDiffusionDepth2ImgPipeline", ["depth_estimator", "DPTForDepthEstimation"], "a depth-to-image model"),
        ("StableDiffusionUpscalePipeline", ["unet", "UNet2DConditionModel"], "an upscaler"),
        ("StableDiffusionInstructPix2PixPipeline", ["unet", "UNet2DConditionModel"], "a model that edits pictures"),
        ("StableUnCLIPPipeline", ["unet", "UNet2DConditionModel"], "unCLIP"),
        ("TextToVideoSDPipeline", ["unet", "UNet3DConditionModel"], "a video model (TextToVideoSDPipeline)"),
        ("StableVideoDiffusionPipeline", ["unet", "UNetSpatioTemporalConditionModel"], "a video model"),
        ("AnimateDiffPipeline", ["unet", "UNetMotionModel"], "a video model"),
        ("WanPipeline", ["transformer", "WanTransformer3DModel"], "a video model (WanPipeline)"),
        ("LatentConsistencyModelPipeline", ["unet", "UNet2DConditionModel"], "a consistency model"),
        ("ConsistencyModelPipeline", ["unet", "UNet2DModel"], "a consistency model"),
        ("PixArtAlphaPipeline", ["transformer", "PixArtTransformer2DModel"], "PixArt-Alpha (PixArtAlphaPipeline)"),
        ("SanaPipeline", ["transformer", "SanaTransformer2DModel"], "Sana (SanaPipeline)"),
        ("Flux2Pipeline", ["transformer", "Flux2Transformer2DModel"], "Flux.2 (Flux2Pipeline)"),
        ("FluxKontextPipeline", ["transformer", "FluxTransformer2DModel"], "a model that edits pictures"),
        ("FluxFillPipeline", ["transformer", "FluxTransformer2DModel"], "an inpainting model"),
        ("FluxControlPipeline", ["transformer", "FluxTransformer2DModel"], "a Flux.1 that is shown pictures"),
        ("StableCascadeCombinedPipeline", ["decoder", "StableCascadeUNet"], "Stable Cascade"),
        ("AudioLDM2Pipeline", ["unet", "AudioLDM2UNet2DConditionModel"], "an audio model"),
        ("I2VGenXLPipeline", ["unet", "I2VGenXLUNet"], "a video model (I2VGenXLPipeline)"),
        ("ShapEPipeline", ["prior", "PriorTransformer"], "Shap-E, which makes shapes, (ShapEPipeline)"),
        ("UniDiffuserPipeline", ["unet", "UniDiffuserModel"], "UniDiffuser (UniDiffuserPipeline)"),
        ("DiTPipeline", ["transformer", "DiTTransformer2DModel"], "DiT, which is told classes, (DiTPipeline)"),
        ("BriaPipeline", ["transformer", "BriaTransformer2DModel"], "Bria (BriaPipeline)"),
        ("AltDiffusionPipeline", ["unet", "UNet2DConditionModel"], "AltDiffusion (AltDiffusionPipeline)"),
        ("MarigoldDepthPipeline", ["unet", "UNet2DConditionModel"], "a model that estimates depth or normals (Mari"),
        ("PipelineOfTomorrow", ["transformer", "UNet2DModel"], "its 'transformer' is of the class UNet2DModel"),
    ],
)
def test_another_family_is_named_with_what_fits(pipeline: str, part: list[str], named: str, tmp_path: Path):
    """From the table of contents alone: no other file is there to be read."""
    index = {"_class_name": pipeline, part[0]: ["diffusers", part[1]]}
    if part[0] != "transformer":
        index["unet"] = ["diffusers", "UNet2DConditionModel" if part[0] != "unet" else part[1]]
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(UserError) as caught:
        check_model(find_model(str(tmp_path)))
    assert named in str(caught.value)
    assert FITTING in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"in_channels": 9}, "an inpainting model (its denoiser takes 9 channels)"),
        ({"in_channels": 5}, "a depth-to-image model (its denoiser takes 5 channels)"),
        ({"addition_embed_type": "text_image"}, "Kandinsky (its denoiser has addition_embed_type: text_image)"),
        ({"encoder_hid_dim_type": "text_proj"}, "(its denoiser has encoder_hid_dim_type: text_proj)"),
        ({"num_class_embeds": 1000}, "wants to be told classes"),
    ],
)
def test_another_family_is_told_from_its_denoiser(changes: dict[str, Any], named: str, tmp_path: Path):
    folder = make_tiny_model(tmp_path)
    _edit(folder / "unet" / "config.json", **changes)
    with pytest.raises(UserError) as caught:
        check_model(_without_weights(folder))
    assert named in str(caught.value)
    assert FITTING in str(caught.value)


def test_the_refiner_is_refused(tmp_path: Path):
    folder = make_tiny_model(tmp_path, layout="xl")
    _edit(folder / "model_index.json", requires_aesthetics_score=True)
    with pytest.raises(UserError, match="the refiner of Stable Diffusion XL"):
        check_model(_without_weights(folder))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"_class_name": "EDMDPMSolverMultistepScheduler", "sigma_data": 0.5}, "noise is scaled as in EDM"),
        ({"_class_name": "EulerDiscreteScheduler", "timestep_type": "continuous"}, "noise is scaled as in EDM"),
        ({"_class_name": "ScoreSdeVeScheduler"}, "ScoreSdeVeScheduler has no schedule of betas or flow"),
        ({"_class_name": "SchedulerOfTomorrow"}, "SchedulerOfTomorrow has no schedule of betas or flow"),
    ],
)
def test_a_scheduler_of_another_kind_is_refused(changes: dict[str, Any], complaint: str, tmp_path: Path):
    folder = make_tiny_model(tmp_path)
    _edit(folder / "scheduler" / "scheduler_config.json", **changes)
    with pytest.raises(UserError, match=complaint):
        check_model(_without_weights(folder))


def test_playground_is_named_by_its_scheduler(tmp_path: Path):
    folder = make_tiny_model(tmp_path, layout="xl")
    _edit(folder / "model_index.json", scheduler=["diffusers", "EDMDPMSolverMultistepScheduler"])
    with pytest.raises(UserError, match="an EDM model, such as Playground"):
        check_model(_without_weights(folder))


def test_t5_is_wanted_of_a_model_that_has_it(tmp_path: Path):
    with pytest.raises(UserError, match=r"^model .*: has no T5 text encoder; leave t5 out"):
        check_model(_without_weights(make_tiny_model(tmp_path / "sd")), t5=True)
    source = _without_weights(make_tiny_model(tmp_path / "sd3", "flow", "sd3", t5=True))
    assert wanted_encoders(source, check_model(source, t5=True), t5=True)[-1] == "text_encoder_3"


@pytest.mark.parametrize(("family", "layout"), [("flow", "flux"), ("epsilon", "pixart")])
def test_t5_is_no_choice_where_it_is_always_read(family: Family, layout: Layout, tmp_path: Path):
    with pytest.raises(UserError, match=r"^model .*: reads its T5 always; leave t5 out$"):
        check_model(_without_weights(make_tiny_model(tmp_path, family, layout)), t5=True)


def test_what_a_pipeline_has_beside_texts_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    folder = make_tiny_model(tmp_path)
    LatentDiffusion(find_model(str(folder)))
    assert not caplog.messages
    unet = diffusers.UNet2DConditionModel.from_pretrained(folder / "unet")
    for place, made in (("controlnet", diffusers.ControlNetModel.from_unet(unet)), ("adapter", diffusers.T2IAdapter())):
        made.save_pretrained(folder / place)
        whole = json.loads((folder / "model_index.json").read_text())
        _edit(folder / "model_index.json", **{place: ["diffusers", type(made).__name__]})
        LatentDiffusion(find_model(str(folder)))
        (folder / "model_index.json").write_text(json.dumps(whole))
    _edit(folder / "unet" / "config.json", attention_type="gated")
    LatentDiffusion(find_model(str(folder)))
    assert [
        message.removeprefix(f"model '{folder}': its ").split(" is")[0].split(" are")[0] for message in caplog.messages
    ] == [
        "ControlNet",
        "T2I-Adapter",
        "boxes (GLIGEN)",
    ]


@pytest.mark.parametrize(
    ("name", "scheduler", "add_ons", "expected"),
    [
        ("plain", {}, (), False),
        ("sd-turbo", {}, (), True),
        ("SDXL-Lightning", {}, (), True),
        ("plain", {"_class_name": "LCMScheduler"}, (), True),
        ("plain", {"timestep_spacing": "trailing"}, (), True),
        ("plain", {"timestep_spacing": "trailing", "prediction_type": "v_prediction"}, (), False),
        ("plain", {}, (Path("pytorch_lcm_lora"),), True),
        ("plain", {}, (Path("calcmade"),), False),
        ("plain", {}, (Path("lcm-lora-sdv1-5/pytorch_lora_weights.safetensors"),), True),
        ("plain", {}, (Path("style/pytorch_lora_weights.safetensors"),), False),
        ("plain", {}, (Path("models--somebody--lcm-lora/snapshots/01ab/pytorch_lora_weights.safetensors"),), True),
        ("cache/models--somebody--sd-turbo/snapshots/01ab", {}, (), True),
        ("turbo-experiments/plain", {}, (), False),
    ],
)
def test_what_is_distilled(
    name: str, scheduler: dict[str, Any], add_ons: tuple[Path, ...], expected: bool, tmp_path: Path
):
    folder = make_tiny_model(tmp_path / name)
    _edit(folder / "scheduler" / "scheduler_config.json", **scheduler)
    source = find_model(str(folder))
    assert is_distilled(ModelSource(name, source.address, source.index), add_ons) is expected


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (
            {"time_cond_proj_dim": 8},
            r"a consistency model \(its denoiser has time_cond_proj_dim\), which gives",
        ),
        (
            {"class_embed_type": "timestep"},
            r"wants to be told classes or cameras \(class_embed_type: timestep\), which plain latent guidance does not",
        ),
        (
            {"in_channels": 8},
            r"takes 8 channels and its VAE gives 4\. Inpainting and depth models do not fit; a",
        ),
    ],
)
def test_a_denoiser_that_wants_to_be_told_more_is_refused(changes: dict[str, Any], complaint: str, tmp_path: Path):
    folder = make_tiny_model(tmp_path)
    _edit(folder / "unet" / "config.json", **changes)
    with pytest.raises(UserError, match=complaint):
        check_model(_without_weights(folder))


def test_what_is_told_how_much_guidance_to_imitate_is_distilled(tmp_path: Path):
    for name, told in (("plain", False), ("dev", True)):
        folder = make_tiny_model(tmp_path / name, "flow", "flux", transformer={"guidance_embeds": told})
        assert is_distilled(find_model(str(folder))) is told


def test_a_vae_whose_latents_would_all_be_0_is_refused(tmp_path: Path):
    folder = make_tiny_model(tmp_path)
    _edit(folder / "vae" / "config.json", scaling_factor=0)
    with pytest.raises(UserError, match="its VAE's scaling_factor is 0"):
        check_model(_without_weights(folder))


def test_a_tokenizer_without_words_is_refused(tmp_path: Path):
    folder = make_tiny_model(tmp_path)
    for path in (folder / "tokenizer").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"its 'tokenizer' has no vocabulary: .*tokenizer holds no tokenizer\.json"):
        check_model(_without_weights(folder))


def test_a_missing_config_is_named(tmp_path: Path):
    folder = make_tiny_model(tmp_path)
    (folder / "vae" / "config.json").unlink()
    with pytest.raises(UserError, match=r"vae.config\.json is missing"):
        check_model(_without_weights(folder))


def test_a_noise_schedule_that_is_not_known_is_refused(tmp_path: Path):
    folder = make_tiny_model(tmp_path)
    _edit(folder / "scheduler" / "scheduler_config.json", prediction_type="clairvoyance")
    with pytest.raises(UserError, match="clairvoyance"):
        check_model(_without_weights(folder))


SCHEDULER, VAE, UNET = "scheduler/scheduler_config.json", "vae/config.json", "unet/config.json"
FLOW = {"_class_name": "FlowMatchEulerDiscreteScheduler"}
NAN = float("nan")


@pytest.mark.parametrize(
    ("file", "changes", "said"),
    [
        *[(UNET, {"sample_size": size}, "no square sample_size") for size in (0, -1, 1, True, 10**25, {"a": 1})],
        (UNET, {"block_out_channels": 3}, "its config files make no sense: TypeError"),
        *[
            (SCHEDULER, {"num_train_timesteps": n}, "num_train_timesteps: from 2")
            for n in (0, 1, "x", None, 10**9, 1e3)
        ],
        *[(SCHEDULER, {"beta_schedule": name}, "makes no schedule of noise") for name in ("nope", None, ["linear"])],
        *[(SCHEDULER, {"beta_end": beta}, "makes no schedule of noise") for beta in (-1, 5, NAN, "x", None)],
        *[
            (SCHEDULER, {"trained_betas": each}, "makes no schedule of noise")
            for each in ([NAN] * 9, [], "x", [0.0] * 9)
        ],
        *[(SCHEDULER, {**FLOW, "shift": shift}, "makes no schedule of noise") for shift in (0, -1, NAN, "x")],
        *[(VAE, {"scaling_factor": each}, "its VAE's config gives no latents") for each in (NAN, float("inf"))],
        (VAE, {"scaling_factor": "x"}, "its config files make no sense: ValueError"),
        (VAE, {"shift_factor": [1, 2]}, "its VAE's config gives no latents"),
        *[(VAE, {"latents_std": each}, "its VAE's config gives no latents") for each in ([0] * 4, [1, 2], [NAN] * 4)],
        (VAE, {"latents_mean": ["x"] * 4}, "its config files make no sense"),
        (VAE, {"block_out_channels": []}, "its VAE's config gives no latents"),
        (VAE, {"block_out_channels": None}, "its config files make no sense: TypeError"),
    ],
)
def test_configs_that_hold_anything_are_one_line(file: str, changes: dict[str, Any], said: str, tmp_path: Path):
    folder = make_tiny_model(tmp_path)
    _edit(folder / file, **changes)
    with pytest.raises(UserError, match=said) as caught:
        LatentSDS(LatentSDS.Config(model=str(folder)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff", b"[" * 100_000, None])
@pytest.mark.parametrize("file", ["model_index.json", UNET, SCHEDULER])
def test_configs_that_are_none(file: str, content: bytes | None, tmp_path: Path):
    folder = make_tiny_model(tmp_path)
    (folder / file).unlink()
    if content is None:
        os.mkfifo(folder / file)
    else:
        (folder / file).write_bytes(content)
    with pytest.raises(
        UserError, match=f"{file} (cannot be read as JSON|holds no JSON object|is missing)|no model_index"
    ):
        LatentSDS(LatentSDS.Config(model=str(folder)))


def test_a_text_encoder_of_another_model_is_refused(tmp_path: Path):
    folder = make_tiny_model(tmp_path)
    config = json.loads((folder / UNET).read_text())
    other = diffusers.UNet2DConditionModel.from_config({**config, "cross_attention_dim": 24})
    other.save_pretrained(folder / "unet")
    guidance = LatentSDS(LatentSDS.Config(model=str(folder)))
    with pytest.raises(UserError, match=r"encoder gives \d+ numbers for a token and its denoiser takes 24; they are"):
        guidance.prepare("a red mushroom")
