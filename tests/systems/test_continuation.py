"""What fits another run's result and what does not, and how that is said."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from core.errors import UserError
from core.part import Choice
from core.schedule import Schedule
from geometry.latent_field import HashGridField
from geometry.rgb_field import RGBField
from guidance.latent_sds import LatentSDS
from guidance.target_image import TargetImage
from systems.continuation import check_same_field, check_same_latents, same_latents
from tests.tiny_pipelines import make_tiny_model


def grid(**settings: object) -> Choice:
    return Choice.of(HashGridField, **settings)


def test_rates_backends_and_the_first_ball_are_free():
    rates = {"grid_learning_rate": 0.5, "mlp_learning_rate": 0.1}
    for height in (Schedule.constant(6.0), Schedule.ramp(8.0, 5.0), Schedule(((0.1, 9.0), (0.3, 7.0), (0.5, 5.0)))):
        check_same_field(grid(), grid(**rates, backend="auto", blob_height=height), "system.geometry")


def test_all_settings_that_differ_are_named_in_one_sentence():
    here, there = grid(bound=0.6), grid(bound=0.8, n_hidden_layers=2, backend="tcnn")
    with pytest.raises(UserError) as error:
        check_same_field(here, there, "system.geometry")
    assert str(error.value) == (
        "--from: the run does not fit system.geometry of this recipe: n_hidden_layers is 2 there and 1 here, "
        "bound is 0.8 there and 0.6 here; give system.geometry.n_hidden_layers=2 system.geometry.bound=0.8"
    )


def test_settings_of_a_field_within_a_field_are_compared_too():
    here, there = (Choice.of(RGBField, of=grid(blob_radius=radius)) for radius in (0.2, 0.3))
    with pytest.raises(UserError, match=r"of\.blob_radius is 0\.3 there and 0\.2 here"):
        check_same_field(here, there, "system.geometry")


def test_another_kind_of_field_is_named():
    with pytest.raises(UserError, match=r"this recipe: it has trained a 'rgb-field', not a 'hash-grid'$"):
        check_same_field(grid(), Choice.of(RGBField, of=grid()), "system.geometry")


def test_latents_are_the_same_if_their_encoders_are(tiny_model: Callable[..., Path], tmp_path: Path):
    model = str(tiny_model())
    sds, pictures = Choice.of(LatentSDS, model=model).build(), Choice.of(TargetImage, model=model).build()
    assert same_latents(sds, pictures), "whatever the guidance: latents belong to the autoencoder"
    sds.model.autoencoder.use_weights(torch.bfloat16)  # pyright: ignore[reportAttributeAccessIssue]
    assert same_latents(sds, pictures), "in whatever precision"
    other = Choice.of(TargetImage, model=str(make_tiny_model(tmp_path, vae={"scaling_factor": 0.5}))).build()
    assert not same_latents(other, pictures), "as many channels, another scale"
    plain = Choice.of(TargetImage).build()
    assert not same_latents(plain, pictures), "another number of channels"
    with pytest.raises(UserError, match=rf"its latents are those of '{model}', not of 'target-image'; give a\.model="):
        check_same_latents(plain, pictures, "a")
