"""A field trained by a denoiser that is told its cameras: parts that fit each other, and those that do not."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from app.api import train
from app.events import Event, Stepped
from app.stopping import Stop
from core.chance import stream
from core.errors import UserError
from core.part import Choice
from core.schedule import Schedule
from core.types import Cameras, GuidanceOutput, RenderOutput
from guidance.latent_sds import LatentSDS
from guidance.multi_view_sds import MultiViewSDS
from guidance.rgb import RGBGuidance
from renderers.backgrounds import RandomColor
from systems.latent_nerf import LatentNeRF
from systems.views.multi_view import MultiView
from systems.views.orbit import Orbit
from tests.systems.small_systems import RANGES, quiet_trainer, small_config
from tests.told_models import make_told_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_told_model(tmp_path_factory.mktemp("told"), n_together=2)


def _system(guidance: Choice, views: Choice, **changes: Any) -> LatentNeRF:
    config = small_config(guidance, views=views, **changes)
    return LatentNeRF(config, "a red mushroom", seed=0, total_steps=4)


def _told(folder: Path, **settings: Any) -> Choice:
    return Choice.of(MultiViewSDS, model=str(folder), **settings)


@pytest.mark.parametrize("loss", ["sds", "reconstruction"])
def test_a_field_is_trained_with_a_growing_size(loss: Any, folder: Path):
    system = _system(
        _told(folder, loss=loss),
        Choice.of(MultiView, **RANGES, n_objects=2),
        latent_size=Schedule.ramp(4.0, 8.0, until=0.5),
    )
    before = {name: value.clone() for name, value in system.geometry.named_parameters()}
    trainer = quiet_trainer(4)
    trainer.fit(system)
    assert trainer.global_step == 4
    assert all(bool((before[name] != value).any()) for name, value in system.geometry.named_parameters())


def test_pictures_are_guided_by_way_of_their_latents(folder: Path):
    """The views of the pictures are those of the latents that they are encoded to."""
    guidance = Choice.of(RGBGuidance, inner=_told(folder))
    system = _system(guidance, Choice.of(MultiView, **RANGES))
    assert system.views.n_together == 2
    system.set_up()
    loss, _ = system.compute_loss(0, stream(0, "training", 0))
    assert bool(torch.isfinite(loss))


def test_the_background_is_one_for_an_object(folder: Path):
    system = _system(_told(folder), Choice.of(MultiView, **RANGES, n_objects=8))
    system.set_up()
    background: Any = system.background
    assert isinstance(background, RandomColor)
    rays = torch.nn.functional.normalize(torch.ones(16, 8, 8, 3), dim=-1)
    shown = background(rays, stream(0, "training", 0)).unflatten(0, (8, 2))
    assert torch.equal(shown[:, 0], shown[:, 1])
    assert len({float(view.sum()) for view in shown[:, 0]}) > 1


def test_steps_that_follow_one_picture_show_the_same_views_and_background(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    system = _system(_told(folder, loss="reconstruction", fits=3), Choice.of(MultiView, **RANGES))
    system.set_up()
    seen: list[tuple[Tensor, Tensor]] = []
    forward = MultiViewSDS.forward

    def kept(self: MultiViewSDS, render: RenderOutput, cameras: Cameras, *rest: Any) -> GuidanceOutput:
        assert render.background is not None
        seen.append((cameras.c2w, render.background))
        return forward(self, render, cameras, *rest)

    monkeypatch.setattr(MultiViewSDS, "forward", kept)
    for step in range(6):
        system.compute_loss(step, stream(0, "training", step))
    for name, values in zip(("cameras", "background"), zip(*seen, strict=True), strict=True):
        for step, value in enumerate(values):
            assert torch.equal(value, values[step - step % 3]), (name, step)
    assert not torch.equal(seen[0][0], seen[3][0])


def test_a_run_that_is_stopped_between_two_pictures_ends_in_the_same_bits(folder: Path, tmp_path: Path):
    settings = {
        "system.guidance": f"{{model: '{folder}', loss: reconstruction, fits: 4, denoising_steps: 2}}",
        "system.views.from_model": "false",
        "system.latent_size": "null",
        "system.renderer": "{samples_per_ray: 12, occupancy_resolution: 16}",
        "trainer": "{max_steps: 8, checkpoint_every: 0, preview_every: 0}",
        "exporters": "[]",
    }
    overrides = [f"{key}={value}" for key, value in settings.items()]
    recipe = Path(__file__).parents[2] / "configs" / "latent-nerf.yaml"
    whole = train(recipe, "red", overrides=overrides, out=tmp_path / "whole", device="cpu")
    stop = Stop()

    def stop_at_6(event: Event) -> None:
        if isinstance(event, Stepped) and event.step == 6:
            stop.request()

    halted = train(
        recipe, "red", overrides=overrides, out=tmp_path / "halted", device="cpu", on_event=stop_at_6, stop=stop
    )
    assert halted.step == 6
    resumed = train(recipe, "red", overrides=overrides, out=tmp_path / "halted", device="cpu", resume=True)
    other = resumed.system.state_dict()
    for name, values in whole.system.state_dict().items():
        assert torch.equal(values, other[name]), name


def test_views_and_guidance_that_do_not_fit_are_refused(folder: Path, tiny_model: Any):
    fault = r"views: 'multi-view-sds' looks at 2 views together, these come 1 by 1; use \{type: multi-view\}"
    with pytest.raises(UserError, match=fault):
        _system(_told(folder), Choice.of(Orbit, **RANGES))
    alone = _system(Choice.of(LatentSDS, model=str(tiny_model())), Choice.of(MultiView, **RANGES))
    assert alone.views.n_views == 1
