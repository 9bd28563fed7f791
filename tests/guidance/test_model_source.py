"""Where models come from, and the errors of those that do not."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import close_session

from core.errors import UserError
from guidance import model_source
from guidance.latent_diffusion import LatentDiffusion, latent_size
from guidance.model_source import MODEL_ALIASES, find_model
from tests.tiny_pipelines import make_tiny_model


def _edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_an_alias_is_a_folder(monkeypatch: pytest.MonkeyPatch, tiny_model: Callable[..., Path]):
    monkeypatch.setitem(MODEL_ALIASES, "toybox", tiny_model())
    source = find_model("toybox")
    assert (source.name, source.folder) == ("toybox", tiny_model())


@pytest.mark.parametrize("name", ["./nowhere", "nowhere", "a/b/c", "/nowhere/at/all"])
def test_an_unknown_folder(name: str):
    with pytest.raises(UserError, match=f"model '{name}': no folder {Path(name)}. Give toybox, a folder, or a hub id"):
        find_model(name)


def test_a_folder_that_is_no_pipeline(tmp_path: Path):
    with pytest.raises(UserError, match=r"has no model_index\.json; a Stable-Diffusion-like pipeline"):
        find_model(str(tmp_path))


def test_a_broken_index(tmp_path: Path):
    (tmp_path / "model_index.json").write_text("{")
    with pytest.raises(UserError, match=r"model_index\.json cannot be read as JSON"):
        find_model(str(tmp_path))


@pytest.mark.parametrize("proxy", ["http://localhost:9", "foo://x", "http://[::"])
def test_no_network_or_a_broken_proxy_is_told_at_once(
    proxy: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy)
    close_session()  # the one kept from before has another proxy
    start = time.monotonic()
    try:
        with pytest.raises(
            UserError, match=r"cannot be reached \(.+\)\. Use `system\.guidance\.model=toybox`"
        ) as caught:
            find_model("somebody/some-model")
    finally:
        close_session()
    assert len(str(caught.value).splitlines()) == 1
    assert time.monotonic() - start < 10  # the library's own retries alone take 23 s


def test_offline_mode_and_an_empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"not in the local cache, and huggingface\.co cannot be reached"):
        find_model("somebody/some-model")


def test_a_cached_model_needs_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    snapshot = tmp_path / "models--somebody--some-model" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "model_index.json").write_text('{"vae": ["diffusers", "AutoencoderKL"]}')
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert find_model("somebody/some-model").has("vae")


@pytest.mark.parametrize("part", ["vae", "unet", "text_encoder", "tokenizer"])
def test_a_missing_part_is_named(part: str, tmp_path: Path):
    folder = make_tiny_model(tmp_path)
    _edit(folder / "model_index.json", **{part: [None, None]})
    with pytest.raises(UserError, match=f"has no '{part}', which latent guidance needs"):
        LatentDiffusion(find_model(str(folder)))


def test_code_of_other_libraries_is_not_run(tmp_path: Path):
    folder = make_tiny_model(tmp_path)
    _edit(folder / "model_index.json", vae=["os", "system"])
    with pytest.raises(UserError, match="its 'vae' is code of 'os'"):
        LatentDiffusion(find_model(str(folder)))


def test_a_class_that_the_library_does_not_have(tmp_path: Path):
    folder = make_tiny_model(tmp_path)
    _edit(folder / "model_index.json", vae=["diffusers", "AutoencoderOfTomorrow"])
    with pytest.raises(UserError, match="diffusers has no class 'AutoencoderOfTomorrow' for its 'vae'"):
        LatentDiffusion(find_model(str(folder)))


def test_broken_weights(tmp_path: Path):
    folder = make_tiny_model(tmp_path)
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"no weights")
    with pytest.raises(UserError, match="cannot read its 'unet': "):
        LatentDiffusion(find_model(str(folder)))


def test_an_inpainting_model_does_not_fit(tmp_path: Path):
    folder = make_tiny_model(tmp_path)
    wide = make_tiny_model(tmp_path / "wide", channels=9)
    (folder / "unet").rename(folder / "narrow")
    (wide / "unet").rename(folder / "unet")
    with pytest.raises(UserError, match="its denoiser takes 9 channels and its VAE gives 4"):
        LatentDiffusion(find_model(str(folder)))


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


def test_model_names_are_known_in_one_place_only():
    named = [
        path.name
        for floor in ("core", "geometry", "guidance", "renderers", "systems", "exporters")
        for path in (Path(model_source.__file__).parents[1] / floor).glob("*.py")
        if '"toybox"' in path.read_text()
    ]
    assert named == ["model_source.py"]
