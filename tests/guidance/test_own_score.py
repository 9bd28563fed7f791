"""A score from a plugin: one method, no private name, under 25 lines; and parts that give what they must not."""

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import UserError
from core.part import find
from core.plugins import load_plugin
from guidance.latent_sds import LatentSDS
from guidance.scores import NoisyLatents
from tests.guidance.seen import seen_as
from tests.guidance.test_scores import gradient_of, make, two_views

PLUGIN = Path(__file__).parents[1] / "plugins" / "own_score.py"


def own_score() -> type[LatentSDS]:
    load_plugin(PLUGIN)
    part: Any = find("guidance", "half-csd")
    return part


def test_the_plugin_is_short_and_uses_public_names_alone():
    text = PLUGIN.read_text()
    assert len(text.splitlines()) < 25
    names = {node.attr for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)}
    assert not [name for name in names if name.startswith("_")]
    (part,) = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]
    assert sum(isinstance(node, ast.FunctionDef) for node in part.body) == 1


def test_it_is_halfway_between_two_scores_of_the_house(tiny_model: Callable[..., Path]):
    latents, cameras = two_views()
    sds, csd = (gradient_of(make(tiny_model(), score=score), latents, cameras) for score in ("sds", "csd"))
    own = gradient_of(make(tiny_model(), own_score()), latents, cameras)
    torch.testing.assert_close(own, (sds + csd) / 2, rtol=1e-3, atol=1e-4)


def test_a_piece_of_the_wrong_shape_is_named_with_its_file(tiny_model: Callable[..., Path]):
    class Misshapen(own_score()):
        """Gives the gradient of one view."""

        part_name = "misshapen"

        def gradient(self, noisy: NoisyLatents, predicted: torch.Tensor) -> torch.Tensor:
            return (predicted - noisy.noise)[:1]

    latents, cameras = two_views()
    guidance = make(tiny_model(), Misshapen)
    said = (
        r"test_own_score\.py:\d+: gradient of the guidance 'misshapen' gave a tensor of shape \(1, 8, 8, 4\), not one"
    )
    with pytest.raises(UserError, match=said):
        guidance(seen_as(latents), cameras, 0, 1, torch.Generator())

    guidance.reference = lambda *_: None  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(UserError, match="reference of the guidance 'misshapen' gave a NoneType, not one of shape"):
        guidance(seen_as(latents), cameras, 0, 1, torch.Generator())


def test_wrong_result_names_file_part_and_what_is_right(tiny_model: Callable[..., Path]):
    guidance = make(tiny_model(), own_score())
    expected = "forward of the guidance 'half-csd' gave a tuple, not GuidanceOutput"
    said = str(guidance.wrong_result((1, 2), "forward: GuidanceOutput"))
    assert re.fullmatch(rf".*/tests/plugins/own_score\.py:11: {expected}", said)
