"""What all methods share: training is a function of recipe and seed, whatever happens beside it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.errors import UserError
from core.kinds import DensityField
from core.part import Choice
from core.settings import read_settings
from core.types import FieldOutput
from geometry.hash_grid import encode
from geometry.hash_grid_flat import FlatHashGrid, tables_from_flat
from geometry.hash_levels import HashGridShape, level_layout
from geometry.latent_field import HashGridField
from guidance.latent_sds import LatentSDS
from guidance.target_image import TargetImage
from systems.callbacks import Previews
from systems.checkpoint_files import CHECKPOINT, read_checkpoint
from systems.checkpoints import Checkpoints
from systems.latent_nerf import LatentNeRF
from tests.known_ball import write_ball_views
from tests.systems.small_systems import distilling_system, quiet_trainer, small_config

Model = Callable[..., Path]


def _trained(system: Any, steps: int, *callbacks: Any, resume: Path | None = None) -> dict[str, Tensor]:
    trainer = quiet_trainer(steps, callbacks)
    trainer.fit(system, ckpt_path=resume, weights_only=True)
    assert trainer.global_step == steps
    return system.state_dict()


def _assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


def test_resuming_is_bitwise_the_same_as_no_interruption(tiny_model: Model, tmp_path: Path):
    whole = _trained(distilling_system(tiny_model()), 6)
    _trained(distilling_system(tiny_model()), 3, Checkpoints(tmp_path, 0))
    resumed = _trained(distilling_system(tiny_model()), 6, resume=tmp_path / CHECKPOINT)
    _assert_same(whole, resumed)


class OneVector(nn.Module):
    """A hash grid's tables in one vector, as the backends for GPUs keep them."""

    def __init__(self, shape: HashGridShape) -> None:
        super().__init__()
        self.shape, self.levels = shape, level_layout(shape)
        self.params = nn.Parameter(torch.zeros(sum(level.n_entries for level in self.levels) * shape.n_features))

    def forward(self, positions: Tensor) -> Tensor:
        return encode(tables_from_flat(self.params, self.levels, self.shape.n_features), self.levels, positions)


def test_another_backend_of_the_field_cannot_go_on_with_the_optimizers_state(tiny_model: Model, tmp_path: Path):
    system = distilling_system(tiny_model())
    assert isinstance(system.geometry, HashGridField)
    shape = system.geometry.config.grid_shape
    system.geometry.grid = FlatHashGrid(shape, OneVector(shape))
    _trained(system, 2, Checkpoints(tmp_path, 0))
    with pytest.raises(UserError, match=r"of \[1, 4\] tensors, this training has \[3, 4\].*backend"):
        _trained(distilling_system(tiny_model()), 4, resume=tmp_path / CHECKPOINT)


def test_previews_checkpoints_and_other_draws_change_nothing(tiny_model: Model, tmp_path: Path):
    alone = _trained(distilling_system(tiny_model()), 4)
    torch.rand(3)
    watched = _trained(distilling_system(tiny_model()), 4, Previews(tmp_path, 1, 2), Checkpoints(tmp_path, 1))
    _assert_same(alone, watched)


def test_seeds_matter(tiny_model: Model):
    first, second = distilling_system(tiny_model()), distilling_system(tiny_model())
    second.seed = 1
    assert not torch.equal(_trained(first, 2)["geometry.mlp.0.weight"], _trained(second, 2)["geometry.mlp.0.weight"])


def test_a_checkpoint_holds_the_object_and_not_the_diffusion_model(tiny_model: Model, tmp_path: Path):
    system = distilling_system(tiny_model())
    _trained(system, 2, Checkpoints(tmp_path, 0))
    state = read_checkpoint(tmp_path / CHECKPOINT)["state_dict"]
    assert {name.split(".")[0] for name in state} == {"geometry", "background", "renderer"}
    assert any(name.startswith("renderer.occupancy") for name in state)
    again = distilling_system(tiny_model())
    again.load_state_dict(state)
    cameras = system.validation_cameras(1, 8)
    torch.testing.assert_close(again.render(cameras).latents, system.render(cameras).latents, rtol=0, atol=0)


def test_no_picture_is_encoded_or_decoded_in_a_training_step(tiny_model: Model, monkeypatch: pytest.MonkeyPatch):
    system = distilling_system(tiny_model())
    system.set_up()  # encodes the flat backgrounds, once
    calls: list[str] = []
    autoencoder: Any = system.guidance.model.autoencoder  # pyright: ignore[reportAttributeAccessIssue]
    vae = autoencoder.network
    for name in ("encode", "decode"):
        original = getattr(vae, name)
        monkeypatch.setattr(vae, name, lambda *a, _n=name, _f=original, **k: (calls.append(_n), _f(*a, **k))[1])
    _trained(system, 3)
    assert calls == []
    system.decode(system.render(system.validation_cameras(1, 8)).latents)
    assert calls == ["decode"], "the counter counts"


def test_prompt_and_backgrounds_are_prepared_once(tiny_model: Model, monkeypatch: pytest.MonkeyPatch):
    system = distilling_system(tiny_model())
    calls: list[str] = []
    prepare = system.guidance.prepare
    monkeypatch.setattr(system.guidance, "prepare", lambda prompt: (calls.append(prompt), prepare(prompt))[1])
    _trained(system, 2)
    quiet_trainer(1).validate(system, verbose=False)
    assert calls == ["a red mushroom"]


def test_rendering_for_people_is_repeatable_and_leaves_the_mode_alone(tiny_model: Model):
    system = distilling_system(tiny_model())
    system.set_up()
    system.train()
    cameras = system.validation_cameras(3, 8)
    first, second = system.render(cameras, with_normals=True), system.render(cameras, with_normals=True)
    assert system.training
    assert system.renderer.training
    assert torch.equal(first.latents, second.latents)
    assert first.normals is not None
    assert first.latents.shape == (3, 8, 8, 4)
    one = system.render(cameras[2:3])
    torch.testing.assert_close(one.latents, first.latents[2:3])
    assert not first.latents.requires_grad


def test_many_views_are_rendered_in_parts_of_the_same_picture(tiny_model: Model, monkeypatch: pytest.MonkeyPatch):
    system = distilling_system(tiny_model())
    system.set_up()
    cameras = system.surrounding_cameras(5, 8)
    at_once = system.render(cameras, with_normals=True)
    monkeypatch.setattr("systems.base.RAYS_AT_ONCE", 2 * 64)
    in_parts = system.render(cameras, with_normals=True)
    for name in ("latents", "opacity", "depth", "normals", "foreground"):
        torch.testing.assert_close(getattr(in_parts, name), getattr(at_once, name), msg=name)


def test_learning_rates_follow_their_schedule(tiny_model: Model):
    system = distilling_system(tiny_model(), total_steps=4)
    trainer = quiet_trainer(2)
    trainer.fit(system)
    groups = trainer.optimizers[0].param_groups
    # From 1 to 0.1 over four steps: after two of them, 0.55 of what each part asked for.
    assert [group["lr"] for group in groups] == pytest.approx([0.55 * group["initial_lr"] for group in groups])
    assert {group["initial_lr"] for group in groups} == {0.05, 0.02}


@pytest.mark.usefixtures("registry")
class TestPartsThatDoNotFit:
    def _field(self) -> type[DensityField]:
        class Stubborn(DensityField, name="stubborn"):
            @dataclass(frozen=True)
            class Config:
                forget_a_parameter: bool = False

            def __init__(self, config: Config, n_channels: int) -> None:
                super().__init__()
                self.config, self.bound = config, 0.5
                self.n_channels = n_channels if config.forget_a_parameter else 7
                self.value = nn.Parameter(torch.ones(1))

            def forward(self, positions: Tensor) -> FieldOutput:
                return FieldOutput(positions[:, 0] * self.value, positions)

            def parameter_groups(self) -> list[dict[str, Any]]:
                return []

        return Stubborn

    def test_channels(self, tiny_model: Model):
        with pytest.raises(UserError, match=r"^geometry: 'stubborn' shows 7 channels, 'latent-sds' wants 4"):
            distilling_system(tiny_model(), geometry=Choice.of(self._field()))

    def test_a_parameter_that_no_group_trains(self, tiny_model: Model):
        system = distilling_system(tiny_model(), geometry=Choice.of(self._field(), forget_a_parameter=True))
        with pytest.raises(TypeError, match=r"geometry\.value is in 0 parameter groups"):
            system.configure_optimizers()


def test_an_old_recipes_cameras_are_told_their_new_name():
    with pytest.raises(
        UserError, match=r"cameras: no such setting of latent-nerf\. Say views: {type: orbit, \.\.\.} with"
    ):
        read_settings(LatentNeRF.Config, {"cameras": {"n_views": 2}}, owner="latent-nerf")


def test_views_that_guidance_cannot_work_with_are_told_when_things_are_built(tmp_path: Path):
    guidance = Choice.of(TargetImage, folder=write_ball_views(tmp_path / "views"), size=16)
    with pytest.raises(
        UserError, match=r"^views: 'target-image' knows pictures from a few cameras alone; use {type: po"
    ):
        LatentNeRF(small_config(guidance), "a ball", 0, 3)


def test_a_method_that_begins_with_nothing_says_so(tiny_model: Model):
    system = distilling_system(tiny_model())
    with pytest.raises(UserError, match=r"^--from: 'latent-nerf' begins with nothing; leave --from out$"):
        system.start_from(distilling_system(tiny_model()))


@pytest.mark.parametrize("settings", [{"score": "vsd"}, {"noise": "surface", "timesteps": "annealed"}])
def test_resuming_is_exact_with_other_scores_too(tiny_model: Model, tmp_path: Path, settings: dict[str, Any]):
    """What a score trains beside the object is saved with it, and moves."""
    config = small_config(Choice.of(LatentSDS, model=str(tiny_model()), **settings))

    def system() -> LatentNeRF:
        return LatentNeRF(config, "a red mushroom", seed=0, total_steps=6)

    whole = _trained(system(), 4)
    begun = _trained(system(), 2, Checkpoints(tmp_path, 0))
    resumed = _trained(system(), 4, resume=tmp_path / CHECKPOINT)
    _assert_same(whole, resumed)
    learnt = [name for name in whole if name.startswith("guidance.")]
    assert all(not torch.equal(whole[name], begun[name]) for name in learnt)
    assert bool(learnt) == ("score" in settings)


@pytest.mark.parametrize(
    ("part", "method", "given", "said"),
    [
        ("views", "draw", None, "orbit.py:[0-9]+: draw of the views 'orbit' gave a NoneType, not Cameras"),
        ("renderer", "forward", (1, 2), "forward of the renderer 'volume' gave a tuple, not RenderOutput"),
        (
            "geometry",
            "forward",
            (1, 2),
            "latent_field.py:[0-9]+: forward of the geometry 'hash-grid' gave a tuple, not Fi",
        ),
        ("background", "forward", None, "forward of the background 'random-color' gave a NoneType, not one of shape"),
        ("guidance", "forward", torch.ones(2), r"gave a tensor of shape \(2,\), not GuidanceOutput"),
    ],
)
def test_a_part_that_gives_the_wrong_thing_is_named_with_its_file(
    tiny_model: Model, monkeypatch: pytest.MonkeyPatch, part: str, method: str, given: Any, said: str
):
    system = distilling_system(tiny_model())
    system.set_up()
    monkeypatch.setattr(getattr(system, part), method, lambda *_: given)
    with pytest.raises(UserError, match=said):
        system.compute_loss(0, torch.Generator().manual_seed(0))
