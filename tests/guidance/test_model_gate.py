"""Models that cannot guide are refused from their config files: no weights are there to be loaded."""

import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import UserError
from guidance.model_gate import check_model, latent_size
from guidance.model_source import ModelSource, find_model
from tests.tiny_pipelines import Family, Layout, make_tiny_model


def _edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _without_weights(folder: Path) -> ModelSource:
    """The model's source, after all weights of it have been deleted."""
    weights = list(folder.rglob("*.safetensors"))
    assert weights
    for path in weights:
        path.unlink()
    return find_model(str(folder))


@pytest.mark.parametrize(("family", "layout"), [("epsilon", "sd"), ("epsilon", "xl"), ("flow", "sd3")])
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


def test_a_square_may_be_given_as_a_pair(tmp_path: Path):
    folder = make_tiny_model(tmp_path)
    _edit(folder / "unet" / "config.json", sample_size=[8, 8])
    assert latent_size(find_model(str(folder))) == 8


@pytest.mark.parametrize(
    ("part", "name", "known"),
    [
        ("unet", "UNet3DConditionModel", r"UNet2DConditionModel or SD3Transformer2DModel"),
        ("vae", "AutoencoderKLWan", r"AutoencoderKL or AutoencoderTiny"),
    ],
)
def test_a_part_of_an_unknown_class_is_named(part: str, name: str, known: str, tmp_path: Path):
    folder = make_tiny_model(tmp_path)
    _edit(folder / "model_index.json", **{part: ["diffusers", name]})
    with pytest.raises(UserError, match=rf"its '{part}' is of the class {name}; a Stable-Diffusion.*\({known}\)$"):
        check_model(_without_weights(folder))


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
