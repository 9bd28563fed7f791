"""Which terms a recipe's losses make, with which weights, and what old and wrong ones are told."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from core.errors import UserError
from core.kinds import Guidance, Loss, TrainingStep
from core.part import Choice
from core.schedule import Schedule
from core.settings import read_settings
from guidance.target_image import TargetImage
from systems.latent_nerf import LatentNeRF
from systems.loss_terms import LossTerms
from systems.losses.density import DensityPenalty
from systems.losses.opacity_entropy import OpacityEntropy
from tests.systems.losses.small_steps import step_of
from tests.systems.small_paint import fitting_paint, write_ball
from tests.systems.small_systems import fitting_system, small_config


@pytest.fixture
def now() -> TrainingStep:
    system = fitting_system(10)
    system.set_up()
    return step_of(system)


@pytest.fixture
def counting(registry: None) -> type[Loss]:
    """A loss that is 2, counts its calls, and may be told to give nonsense."""

    class Two(Loss, name="two"):
        @dataclass(frozen=True)
        class Config(Loss.Config):
            gives: Any = 2.0

        n_calls = 0

        def forward(self, now: TrainingStep) -> Tensor:
            self.n_calls += 1
            gives = self.config.gives
            return torch.tensor(gives) if isinstance(gives, float) else gives

    return Two


def terms_of(given: dict[str, Any], now: TrainingStep, term_names: tuple[str, ...] = ()) -> LossTerms:
    guidance: Guidance = TargetImage(TargetImage.Config(size=16))
    guidance.term_names = term_names
    return LossTerms(given, now.geometry, now.renderer, guidance, "system.losses")


def test_the_sum_is_weighed_and_the_log_is_not(now: TrainingStep, counting: type[Loss]):
    given = {"sds": Schedule.ramp(1.0, 3.0), "mine": Choice.of(counting, weight=Schedule.constant(10.0))}
    terms = terms_of(given, now, ("lora",))
    of_guidance = {"sds": torch.tensor(0.5), "lora": torch.tensor(0.25)}
    loss, numbers = terms(of_guidance, replace(now, step=5))  # half of the training: sds weighs 2, lora 1
    assert loss.item() == pytest.approx(2 * 0.5 + 0.25 + 10 * 2)
    assert {name: value.item() for name, value in numbers.items()} == {
        "loss/sds": 0.5,
        "loss/lora": 0.25,
        "loss/mine": 2.0,
    }


def test_a_guidances_own_term_is_weighed_by_its_name(now: TrainingStep):
    terms = terms_of({"lora": Schedule.constant(4.0), "sds": Schedule.constant(0.0)}, now, ("lora",))
    loss, _ = terms({"sds": torch.tensor(7.0), "lora": torch.tensor(0.25)}, now)
    assert loss.item() == 1


def test_null_leaves_a_guidances_term_out(now: TrainingStep):
    terms = terms_of({"sds": None}, now, ("lora",))
    loss, _ = terms({"sds": torch.tensor(7.0), "lora": torch.tensor(0.25)}, now)
    assert loss.item() == 0.25


def test_a_term_is_not_computed_while_its_weight_is_0(now: TrainingStep, counting: type[Loss]):
    weight = Schedule.ramp(0.0, 1.0, 0.5, 0.9)
    terms = terms_of({"late": Choice.of(counting, weight=weight)}, now)
    (loss,) = terms.parts()
    early = terms({"sds": torch.tensor(1.0)}, now)
    assert (early[0].item(), early[1]["loss/late"].item(), loss.n_calls) == (1, 0, 0)
    late = terms({"sds": torch.tensor(1.0)}, replace(now, step=9))
    assert (late[0].item(), late[1]["loss/late"].item(), loss.n_calls) == (3, 2, 1)


def test_a_loss_that_never_weighs_anything_is_not_built(now: TrainingStep, counting: type[Loss]):
    assert terms_of({"off": Choice.of(counting, weight=Schedule.constant(0.0)), "none": None}, now).parts() == []


def test_the_gradient_is_that_of_the_weighed_sum(now: TrainingStep):
    value = torch.tensor(3.0, requires_grad=True)
    loss, numbers = terms_of({"sds": Schedule.constant(5.0)}, now)({"sds": value.square()}, now)
    (slope,) = torch.autograd.grad(loss, value)
    assert slope.item() == pytest.approx(5 * 2 * 3)
    assert not any(number.requires_grad for number in numbers.values())


def test_two_losses_of_one_kind_may_have_two_names(now: TrainingStep, counting: type[Loss]):
    given = {name: Choice.of(counting, weight=Schedule.constant(w)) for name, w in (("one", 1.0), ("other", 10.0))}
    loss, _ = terms_of(given, now)({"sds": torch.tensor(0.0)}, now)
    assert loss.item() == 22


@pytest.mark.parametrize("gives", [None, torch.zeros(2), 2])
def test_a_loss_that_gives_something_else_than_a_number_is_named(
    now: TrainingStep, counting: type[Loss], gives: object
):
    terms = terms_of({"mine": Choice.of(counting, gives=gives)}, now)
    shown = rf"a tensor of shape \({len(gives)},\)" if isinstance(gives, torch.Tensor) else f"a {type(gives).__name__}"
    said = rf"test_loss_terms\.py:\d+: forward of the loss '\S+' gave {shown}, not one number"
    with pytest.raises(UserError, match=said):
        terms({"sds": torch.tensor(0.0)}, now)


def test_a_weight_of_a_term_that_nobody_gives_is_named(now: TrainingStep):
    with pytest.raises(UserError, match=r"^system\.losses\.sdss: .*'target-image' gives no such term\. Did you mean "):
        terms_of({"sdss": Schedule.constant(1.0)}, now)
    terms_of({"sdss": Schedule.constant(0.0)}, now)  # nothing is asked for


def test_a_loss_may_not_take_the_name_of_a_guidances_term(now: TrainingStep, counting: type[Loss]):
    for name in ("sds", "lora"):
        with pytest.raises(UserError, match=rf"^system\.losses\.{name}: 'target-image' gives a term of this name"):
            terms_of({name: Choice.of(counting)}, now, ("lora",))


def test_what_a_renderer_does_not_give_is_told_when_things_are_built(tmp_path: Any):
    losses = {"hollow": Choice.of(DensityPenalty)}
    complaint = r"losses\.hollow: 'density' needs samples, which the renderer 'rasterizer' does not give; use volume$"
    with pytest.raises(UserError, match=complaint):
        fitting_paint(write_ball(tmp_path / "ball.ply"), 3, losses=losses)


def test_normals_are_rendered_where_a_loss_needs_them(now: TrainingStep, counting: type[Loss]):
    given = {"mine": Choice.of(counting), "sparsity": Choice.of(OpacityEntropy)}
    assert not terms_of(given, now).with_normals
    counting.needs = frozenset({"normals"})
    assert terms_of(given, now).with_normals


def test_losses_are_told_when_the_training_begins_with_another_runs_result(counting: type[Loss]):
    begun: list[object] = []
    counting.begin = lambda self, geometry: begun.append(geometry)
    system = fitting_system(3, losses={"mine": Choice.of(counting)})
    system.set_up()
    assert begun == []
    system.take_result = lambda other: None
    system.start_from(fitting_system(3))
    assert begun == [system.geometry]


OLD = {
    "sparsity": "Say sparsity: {type: opacity-entropy, weight: ...}, with the number as its weight",
    "density": "Say density: {type: density, weight: ...}, with the number as its weight",
    "kept": "Say kept: {type: kept-colours, weight: ...}, with the number as its weight",
    "shape": "Say sketch: {type: sketch-shape, path: ..., weight: ...}, with the number as its weight",
    "normal": "Say normals: {type: sketch-normals, path: ..., weight: ...}, with the number as its weight",
    "density_from_deg": "Say density: {type: density, min_elevation_deg: ..., weight: ...}",
}


@pytest.mark.parametrize(("name", "advice"), OLD.items())
def test_numbers_of_old_recipes_are_told_what_to_say_now(name: str, advice: str):
    with pytest.raises(UserError) as caught:
        read_settings(LatentNeRF.Config, {"losses": {"sds": 1.0, name: 0.01}})
    assert f"losses.{name}: a" in str(caught.value)
    assert advice in str(caught.value)


@pytest.mark.parametrize(
    ("losses", "complaint"),
    [
        ({"my loss": None}, "losses.my loss: a name is made of letters, digits and _"),
        ({"sds": Schedule.constant(-1.0)}, "losses.sds: a weight is at least 0, got -1"),
    ],
)
def test_nonsense_is_refused(losses: dict[str, Any], complaint: str):
    with pytest.raises(UserError, match=complaint):
        small_config(Choice.of(TargetImage), losses=losses)


def test_a_loss_that_is_named_without_a_mapping_is_told_what_to_say():
    said = "losses.full: expected a mapping with the type of a loss, got 'opacity-entropy'. Valid: "
    with pytest.raises(UserError, match=said):
        read_settings(LatentNeRF.Config, {"losses": {"full": "opacity-entropy"}})


def test_a_weight_below_0_is_refused():
    with pytest.raises(UserError, match="weight: at least 0, got -2"):
        OpacityEntropy.Config(weight=Schedule.ramp(1.0, -2.0))
