"""Which files of a folder are read, and that what is not whole is refused with the file's name."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers as untyped_diffusers
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

from core.errors import UserError
from guidance.latent_diffusion import LatentDiffusion
from guidance.model_source import find_model
from guidance.model_weights import refuse_pickle, weights_files

diffusers: Any = untyped_diffusers
Models = Callable[..., Path]
PARTS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}


def _copy(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to))


def _predicted(folder: Path) -> torch.Tensor:
    model = LatentDiffusion(find_model(str(folder)))
    noisy = torch.randn(1, 8, 8, 4, generator=torch.Generator().manual_seed(1))
    return model.predict(noisy, torch.tensor([300]), model.embed_text(["a red mushroom"]))


@pytest.mark.parametrize("variant", ["fp16", "non_ema", "bf16", "ours"])
def test_a_folder_that_has_a_variant_alone(variant: str, tiny_model: Models, tmp_path: Path):
    folder = _copy(tiny_model(), tmp_path / "model")
    for part, stem in PARTS.items():
        (folder / part / f"{stem}.safetensors").rename(folder / part / f"{stem}.{variant}.safetensors")
    assert torch.equal(_predicted(folder), _predicted(tiny_model()))


def test_plain_weights_are_preferred(tiny_model: Models, tmp_path: Path):
    folder = _copy(tiny_model(), tmp_path / "model")
    for part, stem in PARTS.items():
        weights = load_file(folder / part / f"{stem}.safetensors")
        halves = {key: 0 * value for key, value in weights.items()}
        save_file(halves, folder / part / f"{stem}.fp16.safetensors", {"format": "pt"})
    assert torch.equal(_predicted(folder), _predicted(tiny_model()))


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_weights_in_pieces(variant: str | None, tiny_model: Models, tmp_path: Path):
    folder = _copy(tiny_model(), tmp_path / "model")
    unet = diffusers.UNet2DConditionModel.from_pretrained(folder / "unet")
    encoder = CLIPTextModel.from_pretrained(folder / "text_encoder")
    for network, part in ((unet, "unet"), (encoder, "text_encoder")):
        (folder / part / f"{PARTS[part]}.safetensors").unlink()
        network.save_pretrained(folder / part, max_shard_size="10KB", variant=variant)
        assert len(weights_files(folder / part)) > 2
    torch.testing.assert_close(_predicted(folder), _predicted(tiny_model()), rtol=1e-5, atol=1e-6)
    weights_files(folder / "unet")[1].unlink()
    with pytest.raises(UserError, match=r"cannot read its 'unet'.*model/unet"):
        LatentDiffusion(find_model(str(folder))).load()


@pytest.mark.filterwarnings("ignore:This serialization format is now deprecated")
@pytest.mark.parametrize("index", ["safetensors.index.fp16.json", "safetensors.fp16.index.json"])
def test_pieces_of_a_variant_as_they_were_called_before(index: str, tiny_model: Models, tmp_path: Path):
    folder = _copy(tiny_model(), tmp_path / "model") / "unet"
    weights = load_file(folder / "diffusion_pytorch_model.safetensors")
    piece = "diffusion_pytorch_model-00001-of-00001.fp16.safetensors"
    (folder / "diffusion_pytorch_model.safetensors").rename(folder / piece)
    with pytest.raises(UserError) as caught:
        LatentDiffusion(find_model(str(folder.parent)))
    said = "holds weights in pieces, and their index is missing: diffusion_pytorch_model.safetensors.index.fp16.json"
    assert str(caught.value) == f"model '{folder.parent}': {folder} {said}"
    told = {"metadata": {}, "weight_map": dict.fromkeys(weights, piece)}
    (folder / f"diffusion_pytorch_model.{index}").write_text(json.dumps(told))
    assert torch.equal(_predicted(folder.parent), _predicted(tiny_model()))


def _loaded(folder: Path, part: str) -> None:
    model = LatentDiffusion(find_model(str(folder)))
    if part == "vae":
        model.autoencoder.decode(torch.zeros(1, 8, 8, 4))
    elif part == "unet":
        model.load()
    else:
        model.embed_text([f"never embedded before {folder}"])


@pytest.mark.parametrize("part", PARTS)
def test_weights_that_are_not_whole_name_the_file(part: str, tiny_model: Models, tmp_path: Path):
    folder = _copy(tiny_model(), tmp_path / "model")
    file = folder / part / f"{PARTS[part]}.safetensors"
    weights = load_file(file)
    last = max(key for key in weights if key.endswith(".bias"))
    faults = {
        f"missing {last}$": {key: value for key, value in weights.items() if key != last},
        r"unexpected extra\.weight$": {**weights, "extra.weight": torch.ones(1)},
        "are no numbers in": {**weights, last: weights[last] * float("nan")},
    }
    for complaint, changed in faults.items():
        save_file(changed, file, {"format": "pt"})
        with pytest.raises(UserError, match=complaint) as caught:
            _loaded(folder, part)
        assert f"the weights of its '{part}' ({file})" in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["diffusion_pytorch_model.bin", "diffusion_pytorch_model.fp16.bin", "a.ckpt"])
def test_pickles_are_refused_with_how_to_convert_them(name: str, tiny_model: Models, tmp_path: Path):
    folder = _copy(tiny_model(), tmp_path / "model")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").rename(folder / "unet" / name)
    with pytest.raises(UserError, match=rf"unet/{name} is a pickle.*`pipeline\.save_pretrained\(FOLDER"):
        LatentDiffusion(find_model(str(folder)))
    refuse_pickle(Path("weights.safetensors"))


_MEASURE = """
import resource, sys, torch
from guidance.model_source import find_model
source = find_model(sys.argv[1])
source.part_class("unet")
source.network("vae")  # libraries are loaded by now
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
network = source.network("unet", torch.bfloat16)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) * 1024 / sum(p.numel() for p in network.parameters()))
"""


@pytest.mark.slow
def test_weights_have_their_precision_from_the_first_on(tiny_model: Models, tmp_path: Path):
    """Of float32 on the disk, bfloat16 in memory takes 2 bytes, and the file's pages at most one layer's more."""
    folder = _copy(tiny_model(), tmp_path / "model")
    wide = {"block_out_channels": (256, 512), "norm_num_groups": 32, "attention_head_dim": 64, "layers_per_block": 4}
    config = diffusers.UNet2DConditionModel.load_config(folder / "unet")
    network = diffusers.UNet2DConditionModel.from_config({**config, **wide})
    network.save_pretrained(folder / "unet")
    told = subprocess.run([sys.executable, "-c", _MEASURE, str(folder)], capture_output=True, text=True, check=True)
    assert float(told.stdout) < 2 + 4  # all of it in float32 and then halved would be 4 + 4 + 2
