"""What the toybox judge says of a trained object: eight views around it, on grey."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.toy_prompts import ToyPrompt
from core.cameras import orbit_cameras
from core.types import Cameras
from renderers.backgrounds import SolidColor
from systems.base import LightningSystem
from toybox.judge import Verdict, load_judge
from toybox.world import load_world

N_VIEWS = 8
ELEVATION_DEG = 20.0
AZIMUTH_TOLERANCE_DEG = 60.0


@dataclass(frozen=True)
class Votes:
    """In how many of the views the judge is right, and what it said of each."""

    n_views: int
    kind: int
    colour: int
    azimuth: int | None
    """None for objects without a clear front."""
    kinds: list[str]
    colours: list[str]
    azimuths_deg: list[int]
    both: int
    """Views on which object and colour are both right."""

    @property
    def named(self) -> bool:
        """Whether object and colour are both right on the majority of views."""
        return 2 * self.both > self.n_views

    @property
    def two_fronts(self) -> bool:
        """Most views from the front, and most from behind, are taken for views of the front: a face too many."""
        step = 360.0 / self.n_views
        shown = [angle_between(said, 0.0) <= AZIMUTH_TOLERANCE_DEG for said in self.azimuths_deg]
        aside = [angle_between(i * step, 0.0) for i in range(self.n_views)]
        before = [is_front for is_front, angle in zip(shown, aside, strict=True) if angle < 90.0]
        behind = [is_front for is_front, angle in zip(shown, aside, strict=True) if angle > 90.0]
        return self.azimuth is not None and all(2 * sum(side) > len(side) for side in (before, behind))

    @property
    def faces_front(self) -> bool:
        """Whether the judge names the right azimuth on the majority of views; false without a clear front."""
        return self.azimuth is not None and 2 * self.azimuth > self.n_views


def judged_cameras(size: int) -> Cameras:
    """Eight azimuths at elevation 20, in the middle of the training's distances and fields of view."""
    world = load_world()
    same = torch.ones(N_VIEWS)
    return orbit_cameras(
        elevation_deg=ELEVATION_DEG * same,
        azimuth_deg=torch.arange(N_VIEWS) * (360.0 / N_VIEWS),
        radius=sum(world.cameras["radius"]) / 2 * same,
        fovy_deg=sum(world.cameras["fovy_deg"]) / 2 * same,
        height=size,
        width=size,
    )


@torch.no_grad()
def judged_pictures(system: LightningSystem) -> Float[Tensor, "views rows columns 3"]:
    """Decoded views on the world's grey, whatever background the object was trained before; on the CPU."""
    guidance = system.guidance
    red, green, blue = load_world().backgrounds["grey"]
    grey = SolidColor(SolidColor.Config((red, green, blue)), guidance.latent_channels).to(system.device)
    system.encode_colours(grey)
    latents = system.render(judged_cameras(guidance.latent_size), background=grey).latents
    return system.decode(latents).cpu()


def judge_object(prompt: ToyPrompt, pictures: Float[Tensor, "views rows columns 3"]) -> Votes:
    """The judge's verdicts on the pictures of `judged_cameras`, counted."""
    verdicts = load_judge().verdicts(pictures.movedim(-1, 1))
    return count_votes(prompt, verdicts, judged_cameras(1).azimuth_deg.tolist())


def count_votes(prompt: ToyPrompt, verdicts: list[Verdict], azimuths_deg: list[float]) -> Votes:
    """Count verdicts on views from these azimuths."""
    subject = prompt.subject
    astray = [
        angle_between(verdict.azimuth_deg, azimuth) for verdict, azimuth in zip(verdicts, azimuths_deg, strict=True)
    ]
    return Votes(
        n_views=len(verdicts),
        kind=sum(verdict.kind == subject.kind for verdict in verdicts),
        colour=sum(verdict.main == subject.main for verdict in verdicts),
        azimuth=sum(angle <= AZIMUTH_TOLERANCE_DEG for angle in astray) if prompt.kind.front else None,
        kinds=[verdict.kind for verdict in verdicts],
        colours=[verdict.main for verdict in verdicts],
        azimuths_deg=[round(verdict.azimuth_deg) for verdict in verdicts],
        both=sum(verdict.kind == subject.kind and verdict.main == subject.main for verdict in verdicts),
    )


def angle_between(one_deg: float, other_deg: float) -> float:
    """From 0 to 180."""
    return abs((one_deg - other_deg + 180.0) % 360.0 - 180.0)
