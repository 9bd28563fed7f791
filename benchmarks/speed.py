"""How fast is a training step, and where does its time go?

    python -m benchmarks.speed [--config configs/latent-nerf.yaml] [--quick] [--out DIR] [key=value ...]

Steps are those of the recipe after the occupancy grid's first look at the field, without Lightning around them. All
figures are medians of three rounds. Beside them stands what the machine makes of a matrix product, without which they
tell nothing.
"""

import argparse
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from app.cli import parse
from app.job import build_system, find_job
from app.training import settle_device
from benchmarks.command import Report, benchmark_parser, run_benchmark, settle_threads
from geometry.latent_field import HashGridField
from systems.base import LightningSystem
from systems.random_streams import stream
from systems.views import random_views

DESCRIPTION = "Time the training steps of a recipe and their parts."
ROUNDS = 3
PARTS = ("occupancy", "field and renderer", "guidance", "backward", "optimizer", "rest")
N_POINTS = 2**16
OCCUPANCY_STEP = 256  # the first look at the whole grid, in every recipe's default


class Stopwatch:
    """Adds up seconds by name; on a GPU it waits for what was asked of it."""

    def __init__(self, device: str) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._wait: Callable[[], None] = torch.cuda.synchronize if device == "cuda" else lambda: None

    @contextmanager
    def timing(self, name: str) -> Iterator[None]:
        """Time a block."""
        self._wait()
        start = time.perf_counter()
        yield
        self._wait()
        self.seconds[name] += time.perf_counter() - start

    @contextmanager
    def watching(self, name: str, module: nn.Module) -> Iterator[None]:
        """Time every call of a module within a block."""
        began: list[float] = []

        def before(*_: Any) -> None:
            self._wait()
            began.append(time.perf_counter())

        def after(*_: Any) -> None:
            self._wait()
            self.seconds[name] += time.perf_counter() - began.pop()

        hooks = [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def time_steps(system: LightningSystem, optimizer: torch.optim.Optimizer, first: int, n_steps: int) -> dict[str, float]:
    """Milliseconds of a mean step: `step`, and each of PARTS, which add up to it.

    Args:
        first: number of the first step; chance and schedules follow it.
    """
    watch = Stopwatch(system.device.type)
    with watch.watching("field and renderer", system.renderer), watch.watching("guidance", system.guidance):
        for step in range(first, first + n_steps):
            with watch.timing("step"):
                take_step(system, optimizer, step, watch)
    milliseconds = {name: 1e3 * watch.seconds[name] / n_steps for name in ("step", *PARTS[:-1])}
    return {**milliseconds, "rest": milliseconds["step"] - sum(milliseconds[name] for name in PARTS[:-1])}


def take_step(system: LightningSystem, optimizer: torch.optim.Optimizer, step: int, watch: Stopwatch) -> None:
    """What systems/base.py does in a step and Lightning around it."""
    rng = stream(system.seed, "training", step, system.device)
    with watch.timing("occupancy"):
        system.renderer.prepare(system.geometry, step, rng)
    cameras = random_views(system.views, system.guidance.latent_size, rng, system.guidance.known_cameras)
    terms, _ = system.losses(cameras, step, rng)
    loss = torch.stack([system.weight(name, step) * term for name, term in terms.items()]).sum()
    with watch.timing("backward"):
        loss.backward()
    with watch.timing("optimizer"):
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def time_grid(field: HashGridField, n_points: int, device: str) -> dict[str, float]:
    """Milliseconds of the hash grid on random points of its cube: `forward`, and `both` with the backward pass."""
    rng = torch.Generator(device).manual_seed(0)
    points = torch.rand(n_points, 3, generator=rng, device=device)
    watch = Stopwatch(device)
    with watch.timing("both"):
        with watch.timing("forward"):
            encoded = field.grid(points)
        encoded.sum().backward()
    field.zero_grad(set_to_none=True)
    return {name: 1e3 * seconds for name, seconds in watch.seconds.items()}


def medians(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    """Of each figure over the rounds."""
    return {name: round(statistics.median(one[name] for one in rounds), 3) for name in rounds[0]}


def measure_speed(config: Path, overrides: Sequence[str], wanted_device: str, n_steps: int) -> dict[str, Any]:
    """All figures of a recipe as plain values; the house's parts are loaded."""
    recipe = find_job(parse(["--config", str(config), "--prompt", "a red mushroom", *overrides])).recipe
    device = settle_device(wanted_device)
    system = build_system(recipe).to(device)
    system.prepare()
    system.train()
    optimizer = system.configure_optimizers()["optimizer"]
    time_steps(system, optimizer, OCCUPANCY_STEP, 2)  # the first step loads libraries and fills caches
    first = OCCUPANCY_STEP + 2
    steps = medians([time_steps(system, optimizer, first + i * n_steps, n_steps) for i in range(ROUNDS)])
    figures: dict[str, Any] = {
        "views_per_step": system.views.n_views,
        "n_steps": n_steps,
        "steps_per_second": round(1e3 / steps["step"], 3),
        "milliseconds": steps,
    }
    field = system.geometry
    if isinstance(field, HashGridField):
        time_grid(field, N_POINTS, device)
        grid = medians([time_grid(field, N_POINTS, device) for _ in range(ROUNDS)])
        figures["hash_grid"] = {"points": N_POINTS, "backend": field.config.backend, "milliseconds": grid}
    return figures


def report(figures: dict[str, Any]) -> str:
    """The figures in a few lines."""
    steps = figures["milliseconds"]
    lines = [
        f"{figures['steps_per_second']:.2f} steps/s of {figures['views_per_step']} views, {steps['step']:.1f} ms each",
        *(f"  {name:20}{steps[name]:8.1f} ms  {steps[name] / steps['step']:4.0%}" for name in PARTS),
    ]
    if "hash_grid" in figures:
        grid = figures["hash_grid"]
        both, forward = grid["milliseconds"]["both"], grid["milliseconds"]["forward"]
        lines.append(f"hash grid, {grid['points']} points: forward {forward:.1f} ms, with backward {both:.1f} ms")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and give the exit code."""
    quick = "5 steps a round instead of 30"
    parser = benchmark_parser("speed", DESCRIPTION, "latent-nerf", work="speed", quick=quick)
    return run_benchmark(_run, parser.parse_intermixed_args(arguments))


def _run(options: argparse.Namespace) -> Report:
    settle_threads()
    figures = measure_speed(options.config, options.overrides, options.device, 5 if options.quick else 30)
    return Report(f"speed-{options.config.stem}", not options.quick, figures, report(figures))


if __name__ == "__main__":
    sys.exit(main())
