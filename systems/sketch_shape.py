"""`sketch-shape`: Latent-NeRF whose shape follows a coarse mesh, softly or strictly.

Source: Metzer et al., Latent-NeRF (arXiv:2211.07600), section 3.3.
"""

from dataclasses import dataclass
from types import MappingProxyType

from core.errors import require
from core.part import Choice
from systems.latent_nerf import LatentNeRF
from systems.losses.sketch import SketchLoss


class SketchShape(LatentNeRF, name="sketch-shape"):
    """Latent-NeRF guided by a sketch mesh: it insists on a loss that follows one."""

    settings_of_jobs = MappingProxyType({"shape": "system.losses.sketch.path"})

    @dataclass(frozen=True)
    class Config(LatentNeRF.Config):
        """Settings of Sketch-Shape."""

        def __post_init__(self) -> None:
            super().__post_init__()
            chosen = [choice.part for choice in self.losses.values() if isinstance(choice, Choice)]
            require(
                any(issubclass(part, SketchLoss) for part in chosen),
                "losses.sketch: missing; 'sketch-shape' follows a mesh: {type: sketch-shape, path: MESH, weight: 15}",
            )
