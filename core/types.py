"""What crosses the borders between parts: frozen records of tensors, their shapes checked together in the tests.

Words: `views` cameras of a batch, `samples` points along rays (only real ones, there is no padding), `channels` of a
latent or RGB picture, always last. World units throughout; angles carry their unit in the name.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

RecordT = TypeVar("RecordT", bound="TensorRecord")


@dataclass(frozen=True)
class TensorRecord:
    """A frozen record whose tensors change together."""

    def mapped(self: RecordT, change: Callable[[Tensor], Tensor]) -> RecordT:
        """The same record with every tensor changed, also in records and dicts within it."""
        changed = {f.name: _mapped(getattr(self, f.name), change) for f in dataclasses.fields(self)}
        return dataclasses.replace(self, **changed)

    def to(self: RecordT, device: torch.device | str) -> RecordT:
        """The same record with every tensor on `device`."""
        return self.mapped(lambda tensor: tensor.to(device))

    @classmethod
    def joined(cls: type[RecordT], records: Sequence[RecordT]) -> RecordT:
        """The rows of all records in one; what is no tensor and no record is the first one's."""
        columns = {f.name: [getattr(record, f.name) for record in records] for f in dataclasses.fields(cls)}
        return cls(**{name: _joined(values) for name, values in columns.items()})


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, TensorRecord):
        return value.mapped(change)
    return {key: _mapped(item, change) for key, item in value.items()} if isinstance(value, dict) else value


def _joined(values: Sequence[Any]) -> Any:
    first = values[0]
    if isinstance(first, Tensor):
        return torch.cat(list(values))
    return type(first).joined(values) if isinstance(first, TensorRecord) else first


@dataclass(frozen=True)
class Cameras(TensorRecord):
    """Pinhole cameras that share one picture size; conventions in core/cameras.py."""

    c2w: Float[Tensor, "views 4 4"]
    """Camera to world; columns are right, up, backward, position (OpenGL)."""
    fovy_deg: Float[Tensor, "views"]
    """Vertical field of view."""
    elevation_deg: Float[Tensor, "views"]
    """Height above the horizon, from -90 to 90."""
    azimuth_deg: Float[Tensor, "views"]
    """0 sees the object's front from +z; grows toward +x."""
    height: int
    """Rows of the picture, in pixels (or latents)."""
    width: int
    """Columns of the picture."""
    window: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    """The part of the whole view that the picture shows: left, top, width and height, as shares of the whole."""

    def __len__(self) -> int:
        return self.c2w.shape[0]

    def __getitem__(self, views: slice) -> "Cameras":
        return self.mapped(lambda each: each[views])

    def chosen(self, views: Int[Tensor, "chosen"]) -> "Cameras":
        """Some of the cameras, in the order asked for; repeated where asked for again."""
        return self.mapped(lambda each: each[views.to(each.device)])

    def resized(self, height: int, width: int) -> "Cameras":
        """The same cameras with other picture sizes (the vertical field of view stays)."""
        return dataclasses.replace(self, height=height, width=width)

    def cut(self, top: int, left: int, height: int, width: int) -> "Cameras":
        """The same views of a rectangle of the picture alone, in pixels; field of view and pose stay the whole's."""
        across, down = self.window[2] / self.width, self.window[3] / self.height
        window = (self.window[0] + left * across, self.window[1] + top * down, width * across, height * down)
        return dataclasses.replace(self, height=height, width=width, window=window)


@dataclass(frozen=True)
class Rays(TensorRecord):
    """Half-lines in world space."""

    origins: Float[Tensor, "*batch 3"]
    directions: Float[Tensor, "*batch 3"]
    """Of unit length."""


@dataclass(frozen=True)
class FieldOutput(TensorRecord):
    """What a density field says of points."""

    density: Float[Tensor, "points"]
    """Per unit of world length, at least 0."""
    features: Float[Tensor, "points channels"]
    """Latents (or RGB), without activation."""


@dataclass(frozen=True)
class RaySamples(TensorRecord):
    """The samples of a volume rendering, ray after ray."""

    positions: Float[Tensor, "samples 3"]
    widths: Float[Tensor, "samples"]
    """Length of each sample's interval along its ray."""
    ray_index: Int[Tensor, "samples"]
    """Which ray of the flattened (views height width) each sample lies on."""
    density: Float[Tensor, "samples"]
    weights: Float[Tensor, "samples"]
    """Share of the ray's colour that each sample gives."""

    def every(self, stride: int, first: int) -> "RaySamples":
        """Every stride-th sample, from sample `first` on."""
        return self.mapped(lambda each: each[first::stride])


@dataclass(frozen=True)
class RenderOutput(TensorRecord):
    """Pictures of a scene."""

    latents: Float[Tensor, "views height width channels"]
    """Foreground over background."""
    opacity: Float[Tensor, "views height width"]
    """Accumulated alpha, from 0 to 1."""
    depth: Float[Tensor, "views height width"]
    """Expected distance along the ray, over the opaque share; 0 where nothing is hit."""
    normals: Float[Tensor, "views height width 3"] | None
    """Outward, in world space, premultiplied by opacity; None unless asked for."""
    foreground: Float[Tensor, "views height width shown"]
    """What the geometry shows, premultiplied by opacity, without background; `shown` channels, the latents' own unless
    guidance has encoded a picture."""
    samples: RaySamples | None
    """Of a volume rendering; None where the renderer has none."""
    background: Float[Tensor, "views height width shown"] | None = None
    """What lay behind each ray, hidden or not; None where nothing has been put behind."""

    def with_latents(self, latents: Float[Tensor, "views rows columns channels"]) -> "RenderOutput":
        """The rendering of which these are the latents: all else is averaged down to their size."""
        size = (latents.shape[1], latents.shape[2])

        def smaller(values: Tensor) -> Tensor:
            return F.adaptive_avg_pool2d(values.movedim(-1, 1), size).movedim(1, -1)

        opacity, depth = smaller(torch.stack([self.opacity, self.depth], dim=-1)).unbind(dim=-1)
        normals = None if self.normals is None else smaller(self.normals)
        background = None if self.background is None else smaller(self.background)
        return RenderOutput(
            latents, opacity, depth, normals, smaller(self.foreground), samples=None, background=background
        )


@dataclass(frozen=True)
class ShapeViews(TensorRecord):
    """What cameras see of a mesh's shape."""

    depth: Float[Tensor, "views height width"]
    """Distance from the camera along its optical axis, in world units; 0 where nothing is met."""
    normals: Float[Tensor, "views height width 3"]
    """Of the faces, toward the camera, of unit length, in its axes: right, up, backward; 0 where nothing is met."""


#: A mesh that answers cameras.
ShapeLook = Callable[[Cameras], ShapeViews]


@dataclass(frozen=True)
class GuidanceOutput(TensorRecord):
    """What guidance says of rendered views."""

    loss: Float[Tensor, ""]
    """Mean over views and pixels; its gradient is the guidance."""
    metrics: dict[str, Float[Tensor, ""]]
    """Numbers for the log, detached."""
    terms: dict[str, Float[Tensor, ""]] = field(default_factory=dict)
    """Further loss terms, by the names that the guidance declares in `term_names`."""


@dataclass(frozen=True)
class ViewNeeds(TensorRecord):
    """Which views guidance can work with."""

    n_together: int = 1
    """Views of one object that it looks at together, at one timestep: 4 for MVDream (arXiv:2308.16512)."""
    cameras: Cameras | None = None
    """The only cameras that it knows pictures from; None: any."""
    n_steps: int = 1
    """Steps in a row that are to show the same views in front of the same background."""


@dataclass(frozen=True)
class LinearColour(TensorRecord):
    """rgb = (matrix z + bias + 1) / 2, with rgb in [0, 1] for colours that the map can express."""

    matrix: Float[Tensor, "3 channels"]
    bias: Float[Tensor, "3"]
    r_squared: float | None = None
    """Share of the pictures' colour variance that a fitted map explains; None for a published one."""

    def rgb(self, latents: Float[Tensor, "*batch channels"]) -> Float[Tensor, "*batch 3"]:
        """Colours of latents, without clamping: a clamp would kill gradients."""
        matrix, bias = self.matrix.to(latents), self.bias.to(latents)
        return (latents @ matrix.T + bias + 1) / 2
