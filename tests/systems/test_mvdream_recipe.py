"""MVDream's recipe: the published settings, and three steps with a tiny model that is told cameras as it is."""

from pathlib import Path
from typing import Any

import torch

from app.parts import register_parts
from core.chance import stream
from core.recipe import read_recipe
from tests.systems.small_systems import quiet_trainer
from tests.told_models import make_told_model

RECIPE = Path(__file__).parents[2] / "configs" / "latent-nerf-mvdream.yaml"
SMALL = ["system.geometry.log2_table_size=8", "system.renderer.samples_per_ray=12"]


def test_it_trains_with_the_published_settings(tmp_path: Path):
    register_parts()
    model = make_told_model(tmp_path, ray_maps=False, up_axis="z", family="epsilon")
    small = [*SMALL, "system.renderer.occupancy_resolution=16", "trainer.max_steps=3", f"system.guidance.model={model}"]
    system: Any = read_recipe(RECIPE, small).system.build("red", 0, 3)
    guidance, views = system.guidance.config, system.views
    assert (guidance.loss, guidance.weighting, guidance.view_dependent) == ("reconstruction", "uniform", False)
    bounds = (guidance.min_noise, guidance.max_noise)
    annealed = [[bound.at(step, 10) for step in (0, 4, 8, 10)] for bound in bounds]
    torch.testing.assert_close(torch.tensor(annealed), torch.tensor([[0.98, 0.5, 0.02, 0.02], [0.98, 0.74, 0.5, 0.5]]))
    cameras = views.draw(8, 0, 3, stream(0, "training", 0))
    assert len(cameras) == 8
    distance, half = cameras.c2w[:, :3, 3].norm(dim=-1), (cameras.fovy_deg.deg2rad() / 2).tan()
    assert bool((distance * half >= 0.8 - 1e-4).all())
    assert bool((distance * half <= 1.0 + 1e-4).all())
    trainer = quiet_trainer(3)
    trainer.fit(system)
    assert trainer.global_step == 3
