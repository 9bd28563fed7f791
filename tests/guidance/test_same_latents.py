"""Latents are the same if their encoders are, whatever models are called."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import UserError
from core.kinds import Guidance
from core.part import Choice
from guidance.latent_sds import LatentSDS
from guidance.rgb import RGBGuidance
from guidance.same_latents import check_same_latents, same_latents
from guidance.target_image import TargetImage
from tests.tiny_pipelines import make_tiny_model


def by_pictures(path: str = "system.guidance", **settings: Any) -> Guidance:
    return Choice(TargetImage, TargetImage.Config(**settings), path).build()


def test_latents_are_the_same_if_their_encoders_are(tiny_model: Callable[..., Path], tmp_path: Path):
    model = str(tiny_model())
    sds, pictures = Choice.of(LatentSDS, model=model).build(), by_pictures(model=model)
    assert same_latents(sds, pictures), "whatever the guidance: latents belong to the autoencoder"
    sds.model.autoencoder.use_precision(torch.bfloat16)  # pyright: ignore[reportAttributeAccessIssue]
    assert same_latents(sds, pictures), "in whatever precision"
    other = by_pictures(model=str(make_tiny_model(tmp_path, vae={"scaling_factor": 0.5})))
    assert not same_latents(other, pictures), "as many channels, another scale"
    plain = by_pictures()
    assert not same_latents(plain, pictures), "another number of channels"
    complaint = (
        rf"^--from: the run does not fit system\.guidance of this recipe: its latents are those of '{model}', not of "
        rf"'target-image'; give system\.guidance\.model={model}$"
    )
    with pytest.raises(UserError, match=complaint):
        check_same_latents(plain, pictures)


def test_guidance_of_pictures_is_judged_by_the_one_within_it(tiny_model: Callable[..., Path]):
    model = str(tiny_model())
    inner: Choice = Choice(TargetImage, TargetImage.Config(), "system.guidance.inner")
    rgb = Choice(RGBGuidance, RGBGuidance.Config(inner=inner), "system.guidance").build()
    check_same_latents(rgb, by_pictures())
    with pytest.raises(UserError, match=rf"give system\.guidance\.inner\.model={model}$"):
        check_same_latents(rgb, by_pictures(model=model))
