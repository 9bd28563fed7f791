"""Pairs that differ by the ControlNet alone, and what is said of them."""

import argparse
from pathlib import Path

import pytest

from app.parts import register_parts
from benchmarks.control import ARMS, PAINTED, SEEDS, Case, Painted, compared, planned
from benchmarks.part_colours import PartColours
from core.errors import UserError
from tests.app.small_command import ROOT


def _options(folder: Path, **changes: object) -> argparse.Namespace:
    recipe = ROOT / "configs" / "latent-paint-single-view.yaml"
    fixed = {"config": recipe, "overrides": [], "quick": False, "only": "", "work": folder, "scale": 0.5}
    return argparse.Namespace(**{**fixed, "control": folder / "a: [net]", **changes})


def test_the_two_of_a_pair_differ_by_the_controlnet_alone(tmp_path: Path):
    register_parts()
    runs = planned(_options(tmp_path, only=" mug"))
    assert list(runs)[:2] == [("without", "mug", 0), ("with", "mug", 0)]
    assert len({run.folder for run in runs.values()}) == len(runs) == len(SEEDS) * len(ARMS)
    plain, told = (set(runs[arm, "mug", 1].overrides) for arm in ARMS)
    assert plain < told
    (extra,) = told - plain
    assert extra == f'system.guidance.control=[{{path: "{tmp_path}/a: [net]", kind: depth, scale: 0.5}}]'


def test_kinds_are_chosen_by_name(tmp_path: Path):
    register_parts()
    assert [kind for _, kind, _ in planned(_options(tmp_path, quick=True, only=PAINTED[-1].kind))] == ["robot"] * 2
    with pytest.raises(UserError, match=r"--only moose: no such kind here"):
        planned(_options(tmp_path, only="moose"))


def _case(arm: str, seed: int, right: int) -> tuple[Case, Painted]:
    return (arm, "car", seed), Painted(1.0, 8, PartColours(0.1, 5, right))


def test_pairs_are_of_the_same_kind_and_seed():
    rights = {0: (2, 3), 1: (4, 1), 2: (2, 2)}
    found = dict(_case(arm, seed, n) for seed, pair in rights.items() for arm, n in zip(ARMS, pair, strict=True))
    assert compared(found) == {"more": 1, "equal": 1, "fewer": 1}
