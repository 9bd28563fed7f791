"""What losses that follow a sketch share: the mesh as tables, where it stands, and how strictly it is followed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from core.errors import UserError, require
from core.kinds import DensityField, Geometry, Loss, Renderer, TrainingStep
from core.part import names
from core.types import RaySamples
from geometry.mesh_file import read_mesh
from geometry.placement import Placement
from geometry.sketch import Corners, SketchReading, read_sketch
from renderers.shape_views import ShownMesh


class SketchLoss(Loss):
    """A loss on the samples of a volume rendering that follows a sketch mesh."""

    needs = frozenset({"samples"})
    with_normals: ClassVar[bool] = False
    """Whether it asks for the sketch's normals, which take a table of their own."""

    @dataclass(frozen=True)
    class Config(Placement, Loss.Config):
        """The sketch, where it stands, and how strictly it is followed."""

        MOVED: ClassVar[Mapping[str, str]] = {
            "normal_weight": "a loss of its own, {type: sketch-normals, path: ..., weight: ...},"
        }

        path: Path = field(kw_only=True)
        """The mesh file: OBJ, PLY, STL, GLB, glTF or OFF."""
        lenience: float = 0.3
        """The paper's sigma, in world units: near the surface, as far as about this, the field is free."""
        sample_stride: int = 2
        """The loss looks at every so many-th sample of a step, at other ones in the next step: neighbours along a ray
        say much the same, and each costs a look at the tables."""
        complete_box: Corners | None = None
        """Two corners, in the mesh's own coordinates, of a box within which the sketch is silent; null for none."""

        def __post_init__(self) -> None:
            Placement.__post_init__(self)
            Loss.Config.__post_init__(self)
            require(self.lenience > 0, f"lenience: above 0, got {self.lenience:g}")
            require(self.sample_stride >= 1, f"sample_stride: at least 1, got {self.sample_stride}")
            if self.complete_box is not None:
                low, high = self.complete_box
                ordered = all(first < last for first, last in zip(low, high, strict=True))
                require(
                    ordered, f"complete_box: the first corner has the smaller numbers, got {list(low)}, {list(high)}"
                )

    def __init__(self, config: Config, geometry: Geometry, renderer: Renderer) -> None:
        """Tabulate the sketch.

        Raises:
            UserError: a geometry without density, or a mesh that is no sketch.
        """
        super().__init__(config, geometry, renderer)
        if not isinstance(geometry, DensityField):
            raise UserError(
                f"{self.recipe_path}: '{geometry.part_name}' has no density that could follow a sketch; "
                f"use {' or '.join(names('geometry', DensityField))}"
            )
        self.sketch = read_sketch(config.path, config, geometry.bound, self.with_normals)
        self.to_input = self.sketch.to_file
        vertices, faces = self.sketch.mesh.vertices, self.sketch.mesh.faces
        self.shape = ShownMesh(torch.from_numpy(vertices).float(), torch.from_numpy(faces))
        # Limbs far from the middle, where the field starts empty, are to be seen at every step.
        renderer.never_skip(self.sketch.touched_cells)

    @classmethod
    def check_files(cls, config: Config) -> None:
        """The sketch must be a mesh."""
        read_mesh(config.path)

    def samples(self, now: TrainingStep) -> RaySamples:
        """Those that this step's loss is about: every `sample_stride`-th."""
        samples, stride = now.render.samples, self.config.sample_stride
        assert samples is not None, "checked when the system was built"
        return samples.every(stride, (now.step - now.rank.before(len(samples.density))) % stride)

    def strictness(self, positions: Float[Tensor, "samples 3"], reading: SketchReading) -> Float[Tensor, "samples"]:
        """How strictly the sketch is followed at samples: by their distance, and not at all in `complete_box`."""
        strictness = distance_weight(reading.distance, self.config.lenience)
        if self.config.complete_box is None:
            return strictness
        return strictness * ~self.sketch.within(positions, self.config.complete_box)


def distance_weight(distance: Float[Tensor, "samples"], lenience: float) -> Float[Tensor, "samples"]:
    """How strictly a sketch is followed at a distance from its surface: 1 - exp(-d^2 / (2 lenience^2)).

    Source: Latent-NeRF (arXiv:2211.07600), section 3.3, with lenience for its sigma.
    """
    return -torch.expm1(-(distance / lenience).square() / 2)
