"""A training in a process of its own that takes steps when asked to, for benchmarks/threads.py.

It reads numbers of steps from its input, one a line, and answers each with the seconds that they took.
"""

import itertools
import sys
import time
from typing import Any

import torch

from app.parts import register_parts
from benchmarks.machine import ROOT
from core.chance import stream
from core.recipe import read_recipe

RECIPE = ROOT / "configs" / "latent-nerf.yaml"
#: Short steps, so that many rounds fit into a time in which the machine's other work stays about the same.
SHORTER = ["system.latent_size=16"]


def main() -> None:
    """Take steps until the input ends."""
    register_parts()
    recipe = read_recipe(RECIPE, SHORTER)
    system: Any = recipe.system.build(recipe.prompt, recipe.seed, recipe.trainer.max_steps)
    system.set_up()
    groups = [*system.geometry.parameter_groups(), *system.background.parameter_groups()]
    optimizer, step = torch.optim.Adam(groups, lr=1e-3), 0
    for line in itertools.chain(["1"], sys.stdin):  # the first step warms up
        began = time.perf_counter()
        for _ in range(int(line)):
            loss, _ = system.compute_loss(step, stream(recipe.seed, "training", step))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
        print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
