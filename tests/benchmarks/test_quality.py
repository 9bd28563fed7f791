"""The quality benchmark plans a run for each seed, and the runs from pictures once for all of them."""

import argparse
from pathlib import Path

from app.parts import register_parts
from benchmarks.quality import planned
from benchmarks.toy_prompts import toy_prompts
from core.recipe import read_recipe

ROOT = Path(__file__).parents[2]


def test_each_seed_is_a_run_of_its_own_and_the_ceiling_is_shared(tmp_path: Path):
    register_parts()
    recipe, (prompt,) = ROOT / "configs" / "latent-nerf.yaml", toy_prompts("mushroom")
    options = argparse.Namespace(config=recipe, overrides=[], seeds=[3, 5], work=tmp_path)
    ours, ceilings = planned([prompt], options)
    assert [read_recipe(recipe, run.overrides).seed for run in ours] == [3, 5]
    assert len({run.folder for run in (*ours, *ceilings)}) == 3
    options.seeds = []
    (own,), _ = planned([prompt], options)
    assert read_recipe(recipe, own.overrides).seed == read_recipe(recipe).seed
