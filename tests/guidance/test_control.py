"""ControlNets steer a model as diffusers' pipeline has them steer it; what does not fit is refused in a line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.errors import UserError
from core.schedule import Schedule
from core.types import Cameras, ShapeViews
from guidance.control import ControlFile, ControlNet, depth_pictures, normal_pictures
from guidance.latent_sds import LatentSDS
from guidance.multi_view_sds import MultiViewSDS
from guidance.pipelines import diffusers_class
from tests.guidance.made_add_ons import write_control
from tests.guidance.published import PLAIN, assert_equal, published_pipeline
from tests.guidance.seen import cameras_at, noisy_latents, seen_as
from tests.tiny_pipelines import Family, Layout
from tests.told_models import make_told_model

Models = Callable[[Family, Layout], Path]
PIXELS = 16  # of 8 latents


def bumps(cameras: Cameras) -> ShapeViews:
    """A made-up shape: a disc of some depth, with normals of unit length that face the camera."""
    side = torch.linspace(-1, 1, cameras.height)
    y, x = torch.meshgrid(-side, side, indexing="ij")
    is_met = x**2 + y**2 < 0.8
    normals = torch.stack([x, y, (1 - (x**2 + y**2)).clamp_min(0.1).sqrt()], dim=-1)
    normals = normals / normals.norm(dim=-1, keepdim=True) * is_met[..., None]
    depth = (1.5 - 0.4 * normals[..., 2] + 0.1 * x) * is_met
    n = len(cameras)
    return ShapeViews(depth.expand(n, -1, -1), normals.expand(n, -1, -1, -1))


def shown(kind: str) -> Tensor:
    """What networks of a kind are shown of it, by the words of the published ones."""
    seen = bumps(cameras_at([0], [0]).resized(PIXELS, PIXELS))
    depth, (x, y, z) = seen.depth[0], seen.normals[0].unbind(dim=-1)
    picture = torch.zeros(3, PIXELS, PIXELS)
    for row in range(PIXELS):
        for column in range(PIXELS):
            here = (row, column)
            is_met = bool(depth[here] > 0)
            if kind == "depth" and is_met:
                picture[:, row, column] = depth[depth > 0].min() / depth[here]
            if kind == "normal":
                rgb = [-x[here], y[here], z[here]] if is_met else [0, 0, 1]
                picture[:, row, column] = (torch.tensor(rgb) + 1) / 2
    return picture[None]


def _guidance(folder: Path, scale: float, *files: ControlFile, **settings: Any) -> LatentSDS:
    fixed = {**PLAIN, "min_noise": Schedule.constant(0.1), "max_noise": Schedule.constant(0.9), **settings}
    config = LatentSDS.Config(model=str(folder), guidance_scale=Schedule.constant(scale), control=files, **fixed)
    guidance = LatentSDS(config)
    guidance.show_shape(bumps)
    return guidance


def _pipeline(folder: Path, *controls: Path, dtype: torch.dtype = torch.float32) -> Any:
    nets: list[Any] = []
    for each in controls:
        net: Any = diffusers_class("ControlNetModel").from_pretrained(each, dtype=dtype)
        nets.append(net)
    pipeline = diffusers_class("StableDiffusionControlNetPipeline").from_pretrained(
        folder, dtype=dtype, safety_checker=None, controlnet=nets if len(nets) > 1 else nets[0]
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture
def control(family_model: Callable[[str], tuple[Layout, Path]], tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """A function: family, seed, changes -> folders of a model and of a ControlNet for it."""

    def made(family: str = "sd-epsilon", seed: int = 0, **changes: Any) -> tuple[Path, Path]:
        model = family_model(family)[1]
        unet = published_pipeline("sd", model).unet
        return model, write_control(tmp_path / f"control-{seed}", unet, seed, **changes)

    return made


@pytest.mark.parametrize("scale", [1.0, 7.5, 100.0])
@pytest.mark.parametrize("kind", ["depth", "normal"])
@pytest.mark.parametrize("family", ["sd-epsilon", "sd-v", "sd-v-zero-snr"])
def test_equal_to_the_pipeline(family: str, kind: Any, scale: float, control: Callable[..., tuple[Path, Path]]):
    folder, path = control(family)
    more = {"image": shown(kind), "controlnet_conditioning_scale": 0.7}
    guidance = _guidance(folder, scale, ControlFile(str(path), kind, 0.7))
    assert_equal(guidance, _pipeline(folder, path), scale, more=more)


def test_several_are_summed_and_a_negative_prompt_is_told(control: Callable[..., tuple[Path, Path]]):
    (folder, first), (_, second) = control(seed=1), control(seed=2)
    more = {"image": [shown("depth"), shown("normal")], "controlnet_conditioning_scale": [0.4, 1.3]}
    files = ControlFile(str(first), "depth", 0.4), ControlFile(str(second), "normal", 1.3)
    guidance = _guidance(folder, 7.5, *files, negative_prompt="blurry")
    assert_equal(guidance, _pipeline(folder, first, second), 7.5, negative="blurry", more=more)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_in_half_precision(precision: str, control: Callable[..., tuple[Path, Path]]):
    folder, path = control()
    dtype = getattr(torch, precision)
    law = 2 * 7.5 * torch.finfo(dtype).eps
    guidance = _guidance(folder, 7.5, ControlFile(str(path), "depth"), precision=precision)
    more = {"image": shown("depth")}
    assert_equal(guidance, _pipeline(folder, path, dtype=dtype), 7.5, law=law, more=more)


def test_at_scale_0_the_model_is_as_it_was(control: Callable[..., tuple[Path, Path]]):
    folder, path = control()
    assert_equal(_guidance(folder, 7.5, ControlFile(str(path), "depth", 0.0)), published_pipeline("sd", folder), 7.5)


def _counted(network: torch.nn.Module) -> list[int]:
    """Grows by one number, the views of the batch, with each call of a network."""
    calls: list[int] = []
    network.register_forward_hook(lambda _, given, __: calls.append(len(given[0])))
    return calls


@pytest.mark.parametrize(
    "settings",
    [
        {"score": "csd"},
        {"score": "nfsd"},
        {"score": "asd"},
        {"score": "vsd"},
        {"noise": "inverted"},
        {"negative_scale": Schedule.constant(1.0)},
    ],
)
def test_every_call_of_a_score_is_steered(settings: dict[str, Any], control: Callable[..., tuple[Path, Path]]):
    """As often as the denoiser is asked, the ControlNet is, with one look at the shape."""
    folder, path = control()
    asked: list[int] = []

    def look(cameras: Cameras) -> ShapeViews:
        asked.append(len(cameras))
        return bumps(cameras)

    guidance, plain = (_guidance(folder, 7.5, *files, **settings) for files in ([ControlFile(str(path), "depth")], []))
    guidance.show_shape(look)
    for each in (guidance, plain):
        each.prepare("a red mushroom")
    networks = guidance.model.denoiser, guidance.model._networks[1], plain.model.denoiser
    calls = [_counted(network) for network in networks]
    latents, cameras = noisy_latents(2), cameras_at([0, 20], [0, 90])
    losses = [
        each(seen_as(latents), cameras, 0, 1, torch.Generator().manual_seed(7)).loss for each in (guidance, plain)
    ]
    assert calls[0] == calls[1] == calls[2] != []
    assert not torch.allclose(losses[0], losses[1])
    assert asked == [2]


def test_pictures_of_nothing():
    nothing = ShapeViews(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2, 3))
    assert not depth_pictures(nothing).any()
    assert normal_pictures(nothing)[0, 0, 0].tolist() == [0.5, 0.5, 1.0]


def test_it_wants_a_shape(control: Callable[..., tuple[Path, Path]]):
    folder, path = control()
    guidance = _guidance(folder, 7.5, ControlFile(str(path), "depth"))
    with pytest.raises(UserError, match=r"^control: a ControlNet is shown a mesh, and the recipe has none: paint one"):
        guidance.show_shape(None)
    guidance = LatentSDS(guidance.config)
    guidance.prepare("red")
    with pytest.raises(RuntimeError, match="show_shape"):
        guidance(seen_as(noisy_latents(1)), cameras_at([0], [0]), 0, 1, torch.Generator())


def _refused(folder: Path, path: Path | str, kind: Any = "depth") -> str:
    with pytest.raises(UserError) as caught:
        _guidance(folder, 7.5, ControlFile(str(path), kind)).prepare("red")
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def _edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"cross_attention_dim": 768}, "its cross_attention_dim is 768, '.*' has 16"),
        ({"block_out_channels": [8, 32]}, r"its block_out_channels is \[8, 32\], '.*' has \[8, 16\]"),
        ({"addition_embed_type": "text_time"}, "its addition_embed_type is text_time, '.*' has None"),
        ({"conditioning_embedding_out_channels": [4, 8, 8, 8]}, "it takes 8 pixels for each latent, '.*' has 2"),
        ({"conditioning_embedding_out_channels": None}, "it takes 1 pixels for each latent, '.*' has 2"),
        ({"conditioning_channels": 1}, "is shown something else than pictures of depth"),
        ({"global_pool_conditions": True}, "is shown something else than pictures of depth"),
        ({"_class_name": "ControlNetUnionModel"}, "is of the class ControlNetUnionModel; what fits: ControlNetModel"),
        ({"_class_name": None}, "is of the class None"),
    ],
)
def test_a_misfit_is_told_from_its_config(
    changes: dict[str, Any], complaint: str, control: Callable[..., tuple[Path, Path]]
):
    folder, path = control()
    _edit(path / "config.json", **changes)
    (path / "diffusion_pytorch_model.safetensors").write_bytes(b"not read")
    with pytest.raises(UserError, match=rf"ControlNet '.*': .*{complaint}"):
        _guidance(folder, 7.5, ControlFile(str(path), "depth"))


def test_other_families_and_models_that_are_told_cameras(
    tiny_model: Models, control: Callable[..., tuple[Path, Path]], tmp_path: Path
):
    _, path = control()
    for family, layout, title in (("epsilon", "xl", "Stable Diffusion XL"), ("flow", "sd3", "Stable Diffusion 3 and")):
        message = _refused(tiny_model(family, layout), path)  # pyright: ignore[reportArgumentType]
        assert f"control: goes with Stable Diffusion 1.x and 2.x alone; model '{tiny_model(family, layout)}'" in message  # pyright: ignore[reportArgumentType]
        assert f"is {title}" in message
    told = str(make_told_model(tmp_path / "told"))
    with pytest.raises(UserError, match="is told cameras, which no ControlNet is; leave control out"):
        MultiViewSDS(MultiViewSDS.Config(told, control=(ControlFile(str(path), "depth"),)))


def test_weights_that_are_not_all_there(control: Callable[..., tuple[Path, Path]]):
    from safetensors.torch import load_file, save_file

    folder, path = control()
    file = path / "diffusion_pytorch_model.safetensors"
    whole = load_file(file)
    save_file({key: value for key, value in whole.items() if key != "controlnet_mid_block.weight"}, file)
    message = _refused(folder, path)
    assert f"model '{path}': its weights ({file}) do not fit its config: missing controlnet_mid_block.weight" in message
    save_file({**whole, "more": torch.ones(1)}, file)
    assert "unexpected more" in _refused(folder, path)
    file.rename(path / "diffusion_pytorch_model.fp16.safetensors")  # a variant is found by itself
    save_file(whole, path / "diffusion_pytorch_model.fp16.safetensors")
    _guidance(folder, 7.5, ControlFile(str(path), "depth")).prepare("red")
    shutil.move(path / "diffusion_pytorch_model.fp16.safetensors", path / "diffusion_pytorch_model.bin")
    assert "is a pickle, which may run code" in _refused(folder, path)


def test_what_is_no_folder_of_one(tiny_model: Models, tmp_path: Path, control: Callable[..., tuple[Path, Path]]):
    folder, path = control()
    file = tmp_path / "control.safetensors"
    file.write_bytes(b"")
    assert "a file; give a folder. `ControlNetModel.from_single_file(FILE)" in _refused(folder, file)
    assert f"ControlNet '{folder}': {folder} has no config.json, so it is none" in _refused(folder, folder)
    whole = tmp_path / "pipeline"
    shutil.copytree(folder, whole)
    shutil.copytree(path, whole / "controlnet")
    assert _refused(folder, whole).endswith(f"so it is none; {whole / 'controlnet'} is one")
    message = _refused(folder, "./nowhere")
    assert message == "control.0: ControlNet './nowhere': no folder nowhere. Give one, or a hub id like 'owner/name'"
    with pytest.raises(UserError) as caught:
        ControlNet.find(ControlFile("./nowhere", "depth"))
    assert caught.value.exit_code == 2
    with pytest.raises(UserError, match="scale: from 0 to 10, got -1"):
        ControlFile(str(path), "depth", -1.0)


def test_a_folder_of_the_hubs_cache(control: Callable[..., tuple[Path, Path]], tmp_path: Path):
    _, path = control()
    cache = tmp_path / "models--owner--depth"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text("abc")
    shutil.copytree(path, cache / "snapshots" / "abc")
    found = ControlNet.find(ControlFile(str(cache), "depth"))
    assert found.source.address == str(cache / "snapshots" / "abc")
