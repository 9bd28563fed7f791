"""LoRAs change a model as diffusers' pipelines change it, and as the formula says; what is none is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.errors import UserError
from core.schedule import Schedule
from guidance.latent_sds import LatentSDS
from guidance.lora import LoraFile, check_lora
from tests.guidance.made_add_ons import Style, add_by_hand, write_lora
from tests.guidance.published import PLAIN, assert_equal, published_pipeline, reads_t5
from tests.tiny_pipelines import Family, Layout

Models = Callable[[Family, Layout], Path]
#: Families, and who wrote the file.
WRITTEN: list[tuple[str, Style]] = [
    ("sd-epsilon", "diffusers"),
    ("sd-epsilon", "kohya"),
    ("sd-v", "diffusers"),
    ("sd-v-zero-snr", "diffusers"),
    ("xl", "diffusers"),
    ("xl", "kohya"),
    ("sd3", "diffusers"),
    ("sd3-t5", "diffusers"),
    ("flux", "diffusers"),
]


def _guidance(folder: Path, *loras: LoraFile, t5: bool = False) -> LatentSDS:
    settings = {**PLAIN, "guidance_scale": Schedule.constant(7.5), "t5": t5}
    return LatentSDS(LatentSDS.Config(model=str(folder), lora=loras, **settings))


@pytest.mark.parametrize(("family", "style"), WRITTEN)
def test_equal_to_the_pipeline_that_carries_it(
    family: str, style: Style, family_model: Callable[[str], tuple[Layout, Path]], tmp_path: Path
):
    layout, folder = family_model(family)
    path, t5 = tmp_path / "style.safetensors", reads_t5(family)
    pipeline = published_pipeline(layout, folder, t5=t5)
    added = write_lora(path, pipeline, style)
    assert set(added) == {
        "unet" if layout in ("sd", "xl") else "transformer",
        *(["text_encoder", "text_encoder_2"][: 1 + (layout not in ("sd", "flux"))]),
    }
    pipeline.load_lora_weights(tmp_path, weight_name="style.safetensors", adapter_name="style")
    pipeline.set_adapters(["style"], [0.7])
    assert_equal(_guidance(folder, LoraFile(path, 0.7), t5=t5), pipeline, 7.5)


def test_equal_to_weights_changed_by_hand(tiny_model: Models, tmp_path: Path):
    """Two of them, W + s1 (alpha / rank) B1 A1 + s2 (alpha / rank) B2 A2, without any of the libraries' code."""
    folder = tiny_model("epsilon", "sd")
    pipeline, loras = published_pipeline("sd", folder), []
    for seed, scale in ((1, 0.5), (2, -0.3)):
        loras.append(LoraFile(tmp_path / f"{seed}.safetensors", scale))
        written = write_lora(loras[-1].path, published_pipeline("sd", folder), "kohya", seed, "out_proj")
        add_by_hand(pipeline, written, scale)
    assert_equal(_guidance(folder, *loras), pipeline, 7.5)


def test_scale_0_leaves_the_model_as_it_is(tiny_model: Models, tmp_path: Path):
    folder, path = tiny_model("epsilon", "sd"), tmp_path / "style.safetensors"
    write_lora(path, published_pipeline("sd", folder))
    assert_equal(_guidance(folder, LoraFile(path, 0.0)), published_pipeline("sd", folder), 7.5)


def test_in_half_precision_as_the_pipeline_that_fuses_it(tiny_model: Models, tmp_path: Path):
    folder, path = tiny_model("epsilon", "sd"), tmp_path / "style.safetensors"
    pipeline = published_pipeline("sd", folder, torch.bfloat16)
    write_lora(path, pipeline)
    pipeline.load_lora_weights(tmp_path, weight_name="style.safetensors", adapter_name="style")
    pipeline.fuse_lora(components=["unet", "text_encoder"])
    pipeline.unload_lora_weights()
    settings = {"view_dependent": False, "guidance_scale": Schedule.constant(7.5), "precision": "bfloat16"}
    guidance = LatentSDS(LatentSDS.Config(model=str(folder), lora=(LoraFile(path),), **settings))
    assert_equal(guidance, pipeline, 7.5)


def _refused(folder: Path, path: Path) -> str:
    with pytest.raises(UserError) as caught:
        _guidance(folder, LoraFile(path)).prepare("red")
    assert len(str(caught.value).splitlines()) == 1
    assert path.name in str(caught.value)
    return str(caught.value)


def test_files_that_are_none(tmp_path: Path):
    for name, complaint in (
        ("a.bin", "is a pickle.*Convert it"),
        ("b.safetensors", "cannot be read"),
        ("c", "no file"),
    ):
        if name != "c":
            (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(UserError, match=complaint):
            check_lora(LoraFile(tmp_path / name))
    save_file({"weight": torch.ones(1)}, tmp_path / "d.safetensors")
    with pytest.raises(UserError, match="holds no LoRA: none of its 1 keys"):
        check_lora(LoraFile(tmp_path / "d.safetensors"))
    for mark, kind in (("hada_w1_a", "LoHa"), ("lokr_w1", "LoKr")):
        save_file({f"lora_unet_mid_block_attn1_to_q.{mark}": torch.ones(1, 1)}, tmp_path / f"{kind}.safetensors")
        with pytest.raises(UserError, match=rf"{kind}\.safetensors is a LyCORIS of the kind {kind}, which is not read"):
            check_lora(LoraFile(tmp_path / f"{kind}.safetensors"))
    with pytest.raises(UserError, match="scale: from -10 to 10, got 80"):
        LoraFile(tmp_path / "d.safetensors", 80.0)


def test_a_folder_or_a_hub_id_is_answered_with_the_files_in_it(tmp_path: Path):
    with pytest.raises(UserError, match=rf"^{tmp_path} is a folder without any \*\.safetensors$"):
        check_lora(LoraFile(tmp_path))
    for place in ("style.safetensors", "models--somebody--lora/snapshots/01ab/pytorch_lora_weights.safetensors"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).touch()
        folder = tmp_path / place.partition("/snapshots")[0] if "/" in place else tmp_path
        with pytest.raises(UserError, match=rf"^{folder} is a folder; give the file in it: {tmp_path / place}$"):
            check_lora(LoraFile(folder))
    with pytest.raises(UserError, match=r"no file somebody/lora; give a .* on this disk \(hub ids are not read\)$"):
        check_lora(LoraFile(Path("somebody/lora")))


def test_one_of_another_family_is_refused(tiny_model: Models, tmp_path: Path):
    path = tmp_path / "xl.safetensors"
    write_lora(path, published_pipeline("xl", tiny_model("epsilon", "xl")))
    message = _refused(tiny_model("epsilon", "sd"), path)
    assert "made for another family of models: it changes 'text_encoder_2'; this one has unet, text_encoder" in message


def test_a_family_without_them_is_refused_before_its_weights_are_read(tiny_model: Models, tmp_path: Path):
    path = tmp_path / "style.safetensors"
    write_lora(path, published_pipeline("sd", tiny_model("epsilon", "sd")))
    with pytest.raises(UserError, match=r"PixArt-Sigma takes no LoRAs, which diffusers does not read for it$"):
        _guidance(tiny_model("epsilon", "pixart"), LoraFile(path))


@pytest.mark.parametrize("part", ["unet", "text_encoder"])
def test_layers_that_the_model_lacks_are_told(part: str, tiny_model: Models, tmp_path: Path):
    folder, path = tiny_model("epsilon", "sd"), tmp_path / "deep.safetensors"
    write_lora(path, published_pipeline("sd", folder))
    weights = load_file(path)
    name = next(key for key in weights if key.startswith(f"{part}.") and "lora_A" in key).removesuffix(".lora_A.weight")
    for end in ("lora_A", "lora_B"):
        weights[f"{name.replace('0', '7', 1)}.{end}.weight"] = weights[f"{name}.{end}.weight"].clone()
    save_file(weights, path)
    assert f"does not fit the model's '{part}'" in _refused(folder, path)


def test_layers_of_another_width_are_told(tiny_model: Models, tmp_path: Path):
    folder, path = tiny_model("epsilon", "sd"), tmp_path / "wide.safetensors"
    write_lora(path, published_pipeline("sd", folder))
    weights = {
        key: torch.cat([value, value], dim=1) if "lora_A" in key else value for key, value in load_file(path).items()
    }
    save_file(weights, path)
    assert "does not fit the model's 'text_encoder'" in _refused(folder, path)
