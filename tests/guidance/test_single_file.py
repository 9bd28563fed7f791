"""Models in a single file predict what their folders predict; what cannot be read is named."""

import json
import shutil
from collections.abc import Callable
from hashlib import file_digest
from pathlib import Path
from typing import Any

import diffusers as untyped_diffusers
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from core.errors import UserError
from core.schedule import Schedule
from guidance import embedding_cache
from guidance.latent_sds import LatentSDS
from guidance.single_file import SHIPPED, find_single_file
from tests.guidance.original_layout import write_single_file
from tests.guidance.published import PLAIN, assert_equal, published_pipeline
from tests.tiny_pipelines import WIDTH, Layout, make_tiny_model

diffusers: Any = untyped_diffusers
Tiny = Callable[[Layout], tuple[Path, Path]]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """A function: layout -> a whole model's folder, and one with its configs alone."""
    made: dict[str, tuple[Path, Path]] = {}

    def model(layout: Layout) -> tuple[Path, Path]:
        if layout not in made:
            folder = make_tiny_model(
                tmp_path_factory.mktemp(layout), layout=layout, vae={"mid_block_add_attention": True}
            )
            configs = tmp_path_factory.mktemp(f"{layout}-configs") / "configs"
            shutil.copytree(folder, configs, ignore=shutil.ignore_patterns("*.safetensors"))
            made[layout] = folder, configs
        return made[layout]

    return model


def _guidance(file: Path, configs: Path, **settings: Any) -> LatentSDS:
    fixed = {**PLAIN, "guidance_scale": Schedule.constant(7.5), "configs": str(configs), **settings}
    return LatentSDS(LatentSDS.Config(model=str(file), **fixed))


@pytest.mark.parametrize(("layout", "open_clip"), [("sd", False), ("sd", True), ("xl", False)])
def test_equal_to_the_folder(layout: Layout, open_clip: bool, tiny: Tiny, tmp_path: Path):
    folder, configs = tiny(layout)
    file = write_single_file(folder, tmp_path / "model.safetensors", open_clip)
    guidance, pipeline = _guidance(file, configs), published_pipeline(layout, folder)
    assert_equal(guidance, pipeline, 7.5)
    latents = torch.randn(1, 8, 8, 4, generator=torch.Generator().manual_seed(0))
    raw = latents.movedim(-1, 1) / pipeline.vae.config.scaling_factor
    with torch.no_grad():
        expected = (pipeline.vae.decode(raw).sample.movedim(1, -1) / 2 + 0.5).clamp(0, 1)
        torch.testing.assert_close(guidance.decode(latents), expected, rtol=1e-5, atol=1e-5)


def test_its_embeddings_are_found_by_one_look_at_the_file(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It is all parts' own, and has gigabytes."""
    digested: list[str] = []

    def noted(file: Any, digest: str) -> Any:
        digested.append(Path(file.name).name)
        return file_digest(file, digest)

    monkeypatch.setattr(embedding_cache, "file_digest", noted)
    folder, configs = tiny("xl")
    _guidance(write_single_file(folder, tmp_path / "mine.safetensors"), configs).model.embed_text(["red"])
    assert digested.count("mine.safetensors") == 1


def test_a_file_says_how_it_was_trained(tiny: Tiny, tmp_path: Path):
    """Fine-tunes of XL hold empty weights of these names."""
    folder, configs = tiny("sd")
    file = write_single_file(folder, tmp_path / "v.safetensors", v_pred=torch.zeros(0), ztsnr=torch.zeros(0))
    model = _guidance(file, configs).model
    assert model.family == "v_prediction"
    assert float(model.alpha[-1]) < 1e-6


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_missing_and_further_weights_name_the_file(part: str, tiny: Tiny, tmp_path: Path):
    folder, configs = tiny("sd")
    prefix = {"unet": "model.diffusion_model.", "vae": "first_stage_model.", "text_encoder": "cond_stage_model."}[part]
    file = write_single_file(folder, tmp_path / "model.safetensors")
    weights = load_file(file)
    last = max(key for key in weights if key.startswith(prefix) and key.endswith(".bias"))
    save_file({key: value for key, value in weights.items() if key != last}, file)
    source = find_single_file("mine", file, str(configs))
    with pytest.raises(UserError, match=rf"'{part}' \(.*model.safetensors\)"):
        source.network(part)
    save_file({**weights, f"{prefix}input_blocks.99.0.weight": torch.ones(1)}, file)
    said = "1 weights" if part != "text_encoder" else rf"{prefix}input_blocks\.99\.0\.weight$"
    with pytest.raises(UserError, match=rf"model.safetensors\) do not fit its config: unexpected {said}"):
        find_single_file("mine", file, str(configs)).network(part)
    save_file({key: value for key, value in weights.items() if not key.startswith(prefix)}, file)
    with pytest.raises(UserError, match=f"holds no weights of the '{part}'; single files of Stable Diffusion"):
        _guidance(file, configs)


@pytest.mark.parametrize("open_clip", [True, False])
def test_further_weights_of_text_encoders(open_clip: bool, tiny: Tiny, tmp_path: Path):
    """Files hold constants, the other half of CLIP and one layer more than is read; anything else is none of theirs."""
    folder, configs = tiny("sd")
    begin, layer = "cond_stage_model.", "model.transformer.resblocks.2." if open_clip else "transformer.text_model."
    usual = {
        f"{begin}transformer.text_model.embeddings.position_ids": torch.arange(3),
        f"{begin}logit_scale": torch.ones(()),
        f"{begin}model.text_projection": torch.ones(WIDTH, WIDTH),
    }
    if open_clip:
        usual[f"{begin}{layer}ln_1.weight"] = torch.ones(1)
    file = write_single_file(folder, tmp_path / "model.safetensors", open_clip, **usual)
    find_single_file("mine", file, str(configs)).network("text_encoder")
    further = f"{begin}{layer.replace('2', '3')}{'ln_1' if open_clip else 'encoder.layers.3.layer_norm1'}.weight"
    save_file({**load_file(file), further: torch.ones(1)}, file)
    with pytest.raises(UserError, match=f"unexpected {further}$"):
        find_single_file("mine", file, str(configs)).network("text_encoder")


def test_files_that_are_none(tmp_path: Path):
    (tmp_path / "a.ckpt").write_bytes(b"")
    (tmp_path / "b.safetensors").write_bytes(b"no weights")
    save_file({"lora_unet.weight": torch.ones(1)}, tmp_path / "c.safetensors")
    save_file({"model.diffusion_model.input_blocks.0.0.weight": torch.ones(8, 9, 3, 3)}, tmp_path / "d.safetensors")
    refused = {
        "a.ckpt": r"a\.ckpt is a pickle, which may run code when it is read\. Convert it",
        "b.safetensors": "cannot be read",
        "c.safetensors": r"holds no Stable Diffusion \(its first weight is lora_unet\.weight\)",
        "d.safetensors": "of the kind that diffusers calls 'inpainting'; single files of Stable Diffusion 1.x, 2.x and",
    }
    for name, complaint in refused.items():
        with pytest.raises(UserError, match=complaint) as caught:
            find_single_file("mine", tmp_path / name, None)
        assert len(str(caught.value).splitlines()) == 1


def test_configs_that_are_not_there(tiny: Tiny, tmp_path: Path):
    file = write_single_file(tiny("sd")[0], tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"configs: no folder sd3. Give one, a hub id, or sd1, sd2, sd2-base, sdxl"):
        find_single_file("mine", file, "sd3")
    with pytest.raises(UserError, match="configs: goes with a model in a single file"):
        LatentSDS(LatentSDS.Config(model="toybox", configs="sd1"))


def test_both_kinds_of_2_are_told_apart(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    shapes = {
        "model.diffusion_model.input_blocks.0.0.weight": torch.zeros(8, 4, 3, 3),
        "model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight": torch.zeros(8, 1024),
    }
    for name, said, expected in (
        ("v2-1_768", None, "sd2"),
        ("v2-1_512-ema-pruned", None, "sd2-base"),
        ("mine", {"modelspec.prediction_type": "epsilon"}, "sd2-base"),
    ):
        save_file(shapes, tmp_path / f"{name}.safetensors", said)
        found = find_single_file("mine", tmp_path / f"{name}.safetensors", None)
        assert Path(found.address).name == expected
        assert f"say configs: {'sd2' if expected == 'sd2-base' else 'sd2-base'}" in caplog.text


#: Published counts of weights, in the order unet, vae, text_encoder, text_encoder_2.
COUNTS = {
    "sd1": (859_520_964, 83_653_863, 123_060_480),
    "sd2": (865_910_724, 83_653_863, 340_387_840),
    "sd2-base": (865_910_724, 83_653_863, 340_387_840),
    "sdxl": (2_567_463_684, 83_653_863, 123_060_480, 694_659_840),
}


@pytest.mark.parametrize("kind", COUNTS)
def test_shipped_configs_make_networks_of_the_published_sizes(kind: str):
    counts = []
    with torch.device("meta"):
        for part in ("unet", "vae"):
            config = json.loads((SHIPPED / kind / part / "config.json").read_text())
            counts.append(_count(getattr(diffusers, config["_class_name"]).from_config(config)))
        for part in sorted(path.name for path in (SHIPPED / kind).glob("text_encoder*")):
            config = transformers.CLIPTextConfig.from_pretrained(SHIPPED / kind / part)
            counts.append(_count(getattr(transformers, config.architectures[0])(config)))  # pyright: ignore
    assert tuple(counts) == COUNTS[kind]


def _count(network: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def test_the_shipped_tokenizer_is_clips(tiny: Tiny, tmp_path: Path):
    """Against numbers that CLIP's authors published."""
    file = write_single_file(tiny("sd")[0], tmp_path / "model.safetensors")
    tokenizer = find_single_file("mine", file, "sd1").tokenizer("tokenizer")
    assert tokenizer("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert tokenizer("Hello World!").input_ids == [49406, 3306, 1002, 256, 49407]
    padded = tokenizer("a", padding="max_length").input_ids
    assert (len(padded), padded[-1]) == (77, 49407)
    second = find_single_file("mine", file, "sdxl").tokenizer("tokenizer_2")
    assert second("a", padding="max_length").input_ids[-1] == 0
