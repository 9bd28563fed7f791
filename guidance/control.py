"""ControlNets: beside the text, Stable Diffusion is shown pictures of the shape that is to be painted.

Pictures are as the published networks were trained with them, RGB in [0, 1], one look through each pixel's centre:

    depth    grey: the nearest point's distance over each one's, along the optical axis; near is bright, nothing black
             (inverse depth over its maximum: MiDaS, arXiv:1907.01341, as control_v11f1p_sd15_depth takes it)
    normal   (1 - n_right, 1 + n_up, 1 + n_toward) / 2 in the camera's axes: red is left, green is up, blue is front;
             nothing as if it faced the viewer (NormalBae's colours, as control_v11p_sd15_normalbae takes them)

Both halves of guidance see them, and what several networks add is summed, as in diffusers' pipeline.

Source: Zhang et al., Adding Conditional Control to Text-to-Image Diffusion Models (arXiv:2302.05543).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from core.errors import UserError, require
from core.paths import FolderOrName
from core.types import Cameras, ShapeLook, ShapeViews
from guidance.hub_files import read_json, snapshot_in
from guidance.model_families import ModelFamily, StableDiffusion
from guidance.model_source import HUB_ID, ROOT, ModelSource

#: Settings in which a ControlNet must agree with the UNet whose first half it copies.
SHARED = (
    "in_channels",
    "cross_attention_dim",
    "block_out_channels",
    "down_block_types",
    "layers_per_block",
    "addition_embed_type",
    "class_embed_type",
)


@dataclass(frozen=True)
class ControlFile:
    """One ControlNet of a recipe."""

    path: FolderOrName
    """A folder with a ControlNetModel of diffusers, or a hub id."""
    kind: Literal["depth", "normal"]
    """What it was trained to be shown."""
    scale: float = 1.0
    """How strongly it counts; 0 leaves the model as it is."""

    def __post_init__(self) -> None:
        require(0 <= self.scale <= 10, f"scale: from 0 to 10, got {self.scale:g}")


@dataclass(frozen=True)
class ControlNet:
    """One of them, found and not read yet."""

    source: ModelSource
    kind: Literal["depth", "normal"]
    scale: float

    @classmethod
    def find(cls, file: ControlFile) -> "ControlNet":
        """The ControlNet of a folder or hub id, from its config.

        Raises:
            UserError: there is none.
        """
        path = Path(file.path).expanduser()
        if path.is_file():
            way = "`ControlNetModel.from_single_file(FILE).save_pretrained(FOLDER)` of diffusers makes one"
            raise UserError(f"ControlNet '{path}': a file; give a folder. {way}")
        folder = snapshot_in(path, "config.json")
        if folder.is_dir() and not (folder / "config.json").is_file():
            inside = folder / "controlnet"
            hint = f"; {inside} is one" if (inside / "config.json").is_file() else ""
            raise UserError(f"ControlNet '{file.path}': {folder} has no config.json, so it is none{hint}")
        if not folder.is_dir() and (file.path.startswith(".") or not HUB_ID.fullmatch(file.path)):
            raise UserError(f"ControlNet '{file.path}': no folder {path}. Give one, or a hub id like 'owner/name'")
        address = str(folder) if folder.is_dir() else file.path
        config = read_json(file.path, address, "config.json")
        if config.get("_class_name") != "ControlNetModel":
            raise UserError(
                f"ControlNet '{file.path}': is of the class {config.get('_class_name')}; what fits: ControlNetModel"
            )
        return cls(ModelSource(file.path, address, {ROOT: ["diffusers", "ControlNetModel"]}), file.kind, file.scale)


def check_controls(
    controls: Sequence[ControlNet],
    model: ModelSource,
    family: type[ModelFamily],
    network: Mapping[str, Any],
    pixel_factor: int,
) -> None:
    """Refuse ControlNets whose configs say that they do not fit a model.

    Args:
        network: the UNet's config with its defaults.
        pixel_factor: pixels along the side of a latent.

    Raises:
        UserError: they are made for another model, or for other pictures than ours; or a network has no weights.
    """
    if controls and family is not StableDiffusion:
        raise UserError(f"control: goes with {StableDiffusion.title} alone; model '{model.name}' is {family.title}")
    for control in controls:
        where, config = f"ControlNet '{control.source.name}'", control.source.full_config(ROOT)
        for name in SHARED:
            mine, theirs = (list(said) if isinstance(said, tuple) else said for said in (config[name], network[name]))
            if mine != theirs:
                raise UserError(f"{where}: made for another model: its {name} is {mine}, '{model.name}' has {theirs}")
        factor = 2 ** max(0, len(config["conditioning_embedding_out_channels"] or ()) - 1)
        if factor != pixel_factor:
            raise UserError(
                f"{where}: made for another model: it takes {factor} pixels for each latent, '{model.name}' has "
                f"{pixel_factor}"
            )
        if config["conditioning_channels"] != 3 or config["global_pool_conditions"]:
            raise UserError(f"{where}: is shown something else than pictures of {control.kind}, by its config")
        control.source.check_files(ROOT)


def steered(
    network: Callable[..., Any],
    controls: Sequence[tuple[Callable[..., Any], float]],
    noisy: Tensor,
    time: Tensor,
    tokens: Tensor,
    shown: Sequence[Tensor],
) -> Callable[..., Any]:
    """A UNet with the sum of what ControlNets add to it for this call.

    Args:
        controls: networks with their scales.
        shown: the pictures of each, channels first, one for each of the noisy latents.
    """
    added: list[Tensor] = []
    for (control, scale), pictures in zip(controls, shown, strict=True):
        told = {"controlnet_cond": pictures, "conditioning_scale": scale, "return_dict": False}
        down, middle = control(noisy, time, encoder_hidden_states=tokens, **told)
        each = [*down, middle]
        added = [before + more for before, more in zip(added, each, strict=True)] if added else each
    return partial(network, down_block_additional_residuals=added[:-1], mid_block_additional_residual=added[-1])


def depth_pictures(seen: ShapeViews) -> Float[Tensor, "views rows columns 3"]:
    """Pictures of depth, as the top of this module says."""
    is_met = seen.depth > 0
    inverse = torch.where(is_met, 1 / seen.depth.where(is_met, 1.0), 0.0)
    nearest = inverse.amax(dim=(1, 2), keepdim=True).clamp_min(torch.finfo(inverse.dtype).tiny)
    return (inverse / nearest)[..., None].expand(-1, -1, -1, 3)


def normal_pictures(seen: ShapeViews) -> Float[Tensor, "views rows columns 3"]:
    """Pictures of normals, as the top of this module says."""
    facing = seen.normals.new_tensor([0.0, 0.0, 1.0])
    normals = torch.where(seen.depth[..., None] > 0, seen.normals, facing)
    return (1 + normals * normals.new_tensor([-1.0, 1.0, 1.0])) / 2


class ControlPictures:
    """What ControlNets are shown of a shape. The last answer is kept, since a step asks for it several times."""

    def __init__(self, look: ShapeLook, controls: Sequence[ControlNet]) -> None:
        self._look, self._kinds = look, [control.kind for control in controls]
        self._last: tuple[Cameras, int, tuple[Tensor, ...]] | None = None

    @torch.no_grad()
    def __call__(self, cameras: Cameras, size: int) -> tuple[Tensor, ...]:
        """For each ControlNet, pictures (views 3 size size) from these cameras."""
        if self._last is not None and self._last[0] is cameras and self._last[1] == size:
            return self._last[2]
        seen = self._look(cameras.resized(size, size))
        made = {"depth": depth_pictures, "normal": normal_pictures}
        pictures = tuple(made[kind](seen).movedim(-1, 1) for kind in self._kinds)
        self._last = cameras, size, pictures
        return pictures
