"""Models of the hub: what is asked of it, what is told of it, and which of its files are read."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from core.errors import MachineError, UserError
from guidance.latent_diffusion import LatentDiffusion
from guidance.model_source import find_model
from tests.guidance.hub_stand_in import HUB_ID, cached, hub_of

# Of diffusers, which asks the hub's library in an older way.
pytestmark = pytest.mark.filterwarnings("ignore:The `local_dir_use_symlinks` argument is deprecated")
Models = Callable[..., Path]
STEMS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}


def _renamed(folder: Path, to: Path, ending: str) -> Path:
    """A copy of a model whose weights have another ending."""
    shutil.copytree(folder, to)
    for part, stem in STEMS.items():
        (to / part / f"{stem}.safetensors").rename(to / part / f"{stem}.{ending}")
    return to


@pytest.fixture
def halves(tiny_model: Models, tmp_path: Path) -> Path:
    """A model that has weights in half precision alone, by their name."""
    return _renamed(tiny_model(), tmp_path / "halves", "fp16.safetensors")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The local cache of a machine without network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


def test_a_variant_is_chosen_before_anything_is_read(
    halves: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
):
    with caplog.at_level(logging.INFO), hub_of(halves, tmp_path / "cache", monkeypatch):
        fetched = LatentDiffusion(find_model(HUB_ID))
        fetched.load()
        asked = [record.message for record in caplog.records if "fetching" in record.message]
        assert f"model '{HUB_ID}': fetching unet/config.json from huggingface.co" in asked
        assert len(set(asked)) == len(asked)
        caplog.clear()
        LatentDiffusion(find_model(HUB_ID)).load()
        assert not [record.message for record in caplog.records if "huggingface.co" in record.message]
    mine, theirs = fetched.denoiser.state_dict(), LatentDiffusion(find_model(str(halves))).denoiser.state_dict()
    assert all(torch.equal(mine[name], weight) for name, weight in theirs.items())
    assert "An error occurred" not in capfd.readouterr().err


def test_a_cached_model_is_read_without_network(halves: Path, offline: Path, capfd: pytest.CaptureFixture[str]):
    cached(halves, offline)
    LatentDiffusion(find_model(HUB_ID)).load()
    assert "An error occurred" not in capfd.readouterr().err


def test_pickles_of_the_hub_are_refused_before_they_are_fetched(
    tiny_model: Models, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    folder = _renamed(tiny_model(), tmp_path / "pickles", "bin")
    said = rf"^model '{HUB_ID}': {HUB_ID}/unet/diffusion_pytorch_model\.bin is a pickle.*save_pretrained\(FOLDER"
    with hub_of(folder, tmp_path / "cache", monkeypatch), pytest.raises(UserError, match=said):
        LatentDiffusion(find_model(HUB_ID))
    assert not list((tmp_path / "cache").rglob("*.bin"))


def test_pickles_in_the_cache_are_refused_by_their_names(tiny_model: Models, offline: Path, tmp_path: Path):
    snapshot = cached(_renamed(tiny_model(), tmp_path / "pickles", "bin"), offline)
    with pytest.raises(UserError, match=rf"{snapshot}/unet/diffusion_pytorch_model\.bin is a pickle.*save_pretrained"):
        LatentDiffusion(find_model(HUB_ID))


def test_weights_that_are_not_here_and_no_network(tiny_model: Models, offline: Path, tmp_path: Path):
    folder = _renamed(tiny_model(), tmp_path / "none", "txt")
    cached(folder, offline)
    with pytest.raises(
        MachineError, match=r"its weights not in the local cache, and huggingface\.co cannot be reached"
    ):
        LatentDiffusion(find_model(HUB_ID))


def test_what_the_hub_does_not_have_is_the_users_to_mend(
    tiny_model: Models, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    folder = Path(shutil.copytree(tiny_model(), tmp_path / "model"))
    (folder / "unet" / "config.json").unlink()
    with hub_of(folder, tmp_path / "cache", monkeypatch):
        for name, said in (("somebody/another", "no such public model"), (HUB_ID, "has no unet/config.json of it")):
            with pytest.raises(UserError, match=said) as caught:
                LatentDiffusion(find_model(name))
            assert caught.value.exit_code == 2
            assert len(str(caught.value).splitlines()) == 1
