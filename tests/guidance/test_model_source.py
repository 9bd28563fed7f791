"""Where models come from, and the errors of those that do not."""

import json
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import close_session

from core.errors import UserError
from guidance import model_source
from guidance.latent_diffusion import LatentDiffusion
from guidance.model_source import find_model
from tests.tiny_pipelines import make_tiny_model


def test_an_alias_is_a_folder_beside_the_list_of_aliases(
    monkeypatch: pytest.MonkeyPatch, tiny_model: Callable[..., Path], tmp_path: Path
):
    (tmp_path / "here").symlink_to(tiny_model())
    (tmp_path / "aliases.yaml").write_text("tiny: here\n")
    monkeypatch.setattr(model_source, "ALIASES", tmp_path / "aliases.yaml")
    source = find_model("tiny")
    assert (source.name, source.folder) == ("tiny", tmp_path / "here")
    with pytest.raises(UserError, match=r"Give tiny, a folder, a \*\.safetensors file, or a hub id"):
        find_model("small")


@pytest.mark.parametrize("name", ["./nowhere", "nowhere", "a/b/c", "/nowhere/at/all"])
def test_an_unknown_folder(name: str):
    ways = r"Give toybox, toybox-multiview, a folder, a \*\.safetensors file, or a hub id"
    with pytest.raises(UserError, match=f"model '{name}': no folder {Path(name)}. {ways}") as caught:
        find_model(name)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["models/v1-5.safetensors", "v1-5.safetensors", "some/model.ckpt", "/nowhere/a.bin"])
def test_a_name_with_the_ending_of_a_file_is_asked_of_nobody(name: str):
    with pytest.raises(UserError, match=f"^model '{name}': no such file: {Path(name).absolute()}$"):
        find_model(name)


def test_a_folder_that_is_no_pipeline(tmp_path: Path):
    with pytest.raises(UserError, match=r"has no model_index\.json; a Stable-Diffusion-like pipeline"):
        find_model(str(tmp_path))


def test_a_broken_index(tmp_path: Path):
    (tmp_path / "model_index.json").write_text("{")
    with pytest.raises(UserError, match=r"model_index\.json cannot be read as JSON"):
        find_model(str(tmp_path))


@pytest.fixture
def silent_proxy() -> Iterator[str]:
    """The address of a server that takes calls and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("proxy", ["http://localhost:9", "foo://x", "http://[::", "silent"])
def test_no_network_or_a_broken_proxy_is_told_at_once(
    proxy: str, silent_proxy: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    proxy = silent_proxy if proxy == "silent" else proxy
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy)
    close_session()  # the one kept from before has another proxy
    start = time.monotonic()
    try:
        with pytest.raises(
            UserError, match=r"cannot be reached \(.+\)\. Use `system\.guidance\.inner\.model=toybox`"
        ) as caught:
            find_model("somebody/some-model", "system.guidance.inner.model")
    finally:
        close_session()
    assert len(str(caught.value).splitlines()) == 1
    assert time.monotonic() - start < 5  # the library's own retries alone take 23 s


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


def test_broken_weights(tmp_path: Path):
    folder = make_tiny_model(tmp_path)
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"no weights")
    with pytest.raises(UserError, match="cannot read its 'unet': "):
        LatentDiffusion(find_model(str(folder))).load()


def test_model_names_are_known_in_one_place_only():
    root = Path(model_source.__file__).parents[1]
    files = [
        path
        for floor in ("core", "geometry", "guidance", "renderers", "systems", "exporters")
        for path in (root / floor).rglob("*.py")
    ]
    assert len(files) > 60
    assert [path.name for path in files if '"toybox"' in path.read_text()] == []
    assert "toybox" in model_source.ALIASES.read_text()


@pytest.mark.parametrize("with_main", [True, False])
def test_a_folder_of_the_hubs_cache(with_main: bool, tiny_model: Callable[..., Path], tmp_path: Path):
    """As `huggingface_hub` lays it out: blobs, snapshots that link to them, refs."""
    cached = tmp_path / "models--somebody--some-model"
    snapshot = cached / "snapshots" / ("1" * 40)
    snapshot.parent.mkdir(parents=True)
    (cached / "snapshots" / ("0" * 40)).mkdir()  # an interrupted download
    shutil.copytree(tiny_model(), cached / "whole")
    snapshot.symlink_to(cached / "whole")
    if with_main:
        (cached / "refs").mkdir()
        (cached / "refs" / "main").write_text("1" * 40)
    source = find_model(str(cached))
    assert source.folder == snapshot
    LatentDiffusion(source).load()


def test_a_folder_without_safety_checker_or_vae_settings(tmp_path: Path):
    folder = make_tiny_model(tmp_path)
    index = json.loads((folder / "model_index.json").read_text())
    for part in ("safety_checker", "feature_extractor"):
        index[part] = ["transformers", "CLIPImageProcessor"]  # listed, and not there
    (folder / "model_index.json").write_text(json.dumps(index))
    LatentDiffusion(find_model(str(folder))).load()


EVIL = """
from pathlib import Path
Path({!r}).touch()
class Evil:
    from_pretrained = classmethod(lambda *a, **k: None)
"""


def test_code_in_a_models_folder_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder, sign = make_tiny_model(tmp_path / "model"), tmp_path / "was-run"
    for place in ("pipeline.py", "evil.py", "unet/evil.py", "tokenizer/evil.py", "text_encoder/evil.py", "vae/evil.py"):
        (folder / place).write_text(EVIL.format(str(sign)))
    for place in ("tokenizer/tokenizer_config.json", "text_encoder/config.json", "unet/config.json", "vae/config.json"):
        said = json.loads((folder / place).read_text())
        named = dict.fromkeys(("AutoConfig", "AutoModel", "AutoTokenizer", "CLIPTextModel"), "evil.Evil")
        (folder / place).write_text(json.dumps({**said, "auto_map": named, "_module": "evil"}))
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "_class_name": ["pipeline", "Evil"]}))
    monkeypatch.chdir(folder)
    model = LatentDiffusion(find_model(str(folder)))
    model.embed_text(["a text that is in no cache: code"])
    model.load()
    model.autoencoder.decode(torch.zeros(1, 8, 8, 4))
    assert not sign.exists()
    for part in ("unet", "text_encoder", "tokenizer", "vae"):
        (folder / "model_index.json").write_text(json.dumps({**index, part: ["evil", "Evil"]}))
        with pytest.raises(UserError, match=f"its '{part}' is code of 'evil', which is not run"):
            LatentDiffusion(find_model(str(folder)))
    assert not sign.exists()
