"""How fast is a training step, and where does its time go?

    python -m benchmarks.speed [--config configs/latent-nerf.yaml] [--quick] [--out DIR] [key=value ...]
    python -m benchmarks.speed --config configs/latent-nerf-sd.yaml --random-model

Steps are those of the recipe, in its precision, after the occupancy grid's first look at the field, without Lightning
around them. All figures are medians of three rounds. The speed of a matrix product on the same machine is
reported with them, so that machines can be compared. A GPU is synchronised at both ends of each part; the step as a
whole (`free`) is timed in a round of its own, without synchronising within it.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.plugins import Precision
from torch import nn

from app.building import ready_system
from app.machine import resolve_device
from app.plan import Request, make_plan
from app.training import make_trainer
from benchmarks.command import Report, benchmark_parser, resolve_threads, run_benchmark
from benchmarks.random_model import random_stable_diffusion
from core.chance import stream
from geometry.latent_field import HashGridField
from systems.base import LightningSystem

DESCRIPTION = "Time the training steps of a recipe and their parts."
ROUNDS = 3
PARTS = ("occupancy", "field and renderer", "guidance", "backward", "optimizer", "rest")
N_POINTS = 2**16
OCCUPANCY_STEP = 256  # the first look at the whole grid, in every recipe's default


@dataclass(frozen=True)
class Training:
    """A system, its optimizer, and what mixed precision puts around a step."""

    system: LightningSystem
    optimizer: torch.optim.Optimizer
    precision: Precision
    scaler: torch.amp.GradScaler

    @classmethod
    def of(cls, system: LightningSystem, trainer: Trainer | None = None) -> "Training":
        """As Lightning's trainer would do it: its own context, and a scaler of gradients where it has one.

        Without a trainer, in single precision.
        """
        plugin = trainer.precision_plugin if trainer else Precision()
        scaled = getattr(plugin, "scaler", None) is not None
        scaler = torch.amp.GradScaler(system.device.type, enabled=scaled)
        return cls(system, system.configure_optimizers()["optimizer"], plugin, scaler)


class Stopwatch:
    """Adds up seconds by name; on a GPU it synchronises before each reading, unless `waits` is false."""

    def __init__(self, device: str, waits: bool = True) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._wait: Callable[[], None] = torch.cuda.synchronize if device == "cuda" and waits else lambda: None

    @contextmanager
    def timing(self, name: str) -> Iterator[None]:
        """Time a block."""
        self._wait()
        start = time.perf_counter()
        yield
        self._wait()
        self.seconds[name] += time.perf_counter() - start

    @contextmanager
    def timing_calls(self, name: str, owner: Any, method: str) -> Iterator[None]:
        """Time every call of one object's method within a block."""
        original = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.timing(name):
                return original(*args, **kwargs)

        setattr(owner, method, timed)
        try:
            yield
        finally:
            delattr(owner, method)

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


def time_steps(training: Training, first: int, n_steps: int) -> dict[str, float]:
    """Milliseconds of a mean step: `free`, undisturbed; `step`, and each of PARTS, which add up to it.

    Args:
        first: number of the first step; chance and schedules follow it.
    """
    system = training.system
    whole, parts = Stopwatch(system.device.type), Stopwatch(system.device.type)
    unheard = Stopwatch(system.device.type, waits=False)
    with whole.timing("free"):
        for step in range(first, first + n_steps):
            take_step(training, step, unheard)
    with parts.watching("field and renderer", system.renderer), parts.watching("guidance", system.guidance):
        for step in range(first, first + n_steps):
            with parts.timing("step"):
                take_step(training, step, parts)
    seconds = whole.seconds | parts.seconds
    milliseconds = {name: 1e3 * seconds.get(name, 0.0) / n_steps for name in ("free", "step", *PARTS[:-1])}
    return {**milliseconds, "rest": milliseconds["step"] - sum(milliseconds[name] for name in PARTS[:-1])}


def take_step(training: Training, step: int, watch: Stopwatch) -> None:
    """What systems/base.py does in a step and Lightning around it."""
    system, optimizer, scaler = training.system, training.optimizer, training.scaler
    rng = stream(system.seed, "training", step, system.device)
    with training.precision.train_step_context(), watch.timing_calls("occupancy", system.renderer, "refresh"):
        loss, _ = system.compute_loss(step, rng)
    with watch.timing("backward"):
        scaler.scale(loss).backward()
    with watch.timing("optimizer"):
        scaler.step(optimizer)
        scaler.update()
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
    request = Request(recipe=config, prompt="a red mushroom", overrides=tuple(overrides), device=wanted_device)
    plan = make_plan(request)
    recipe, device = plan.recipe, plan.device
    system, _ = ready_system(plan)
    system.train()
    with tempfile.TemporaryDirectory() as folder:
        training = Training.of(system, make_trainer(recipe.trainer, device, Path(folder), []))
    time_steps(training, OCCUPANCY_STEP, 2)  # the first step loads libraries and fills caches
    alike = system.guidance.view_needs.n_steps  # of so many steps in a row the first costs more
    n_steps, first = (-(-number // alike) * alike for number in (n_steps, OCCUPANCY_STEP + 2))
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    steps = medians([time_steps(training, first + i * n_steps, n_steps) for i in range(ROUNDS)])
    figures: dict[str, Any] = {
        "precision": plan.precision,
        "views_per_step": system.views.n_views,
        "n_steps": n_steps,
        "steps_per_second": round(1e3 / steps["free"], 3),
        "milliseconds": steps,
    }
    if device == "cuda":
        figures["peak_gpu_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
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
        f"{figures['steps_per_second']:.2f} steps/s of {figures['views_per_step']} views, {steps['free']:.1f} ms each "
        f"({steps['step']:.1f} ms with a wait after each part)",
        *(f"  {name:20}{steps[name]:8.1f} ms  {steps[name] / steps['step']:4.0%}" for name in PARTS),
    ]
    if "hash_grid" in figures:
        grid = figures["hash_grid"]
        both, forward = grid["milliseconds"]["both"], grid["milliseconds"]["forward"]
        lines.append(f"hash grid, {grid['points']} points: forward {forward:.1f} ms, with backward {both:.1f} ms")
    if "peak_gpu_gib" in figures:
        lines.append(f"GPU memory at most {figures['peak_gpu_gib']:.2f} GiB, {figures['precision']}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and give the exit code."""
    quick = "5 steps a round instead of 30"
    parser = benchmark_parser("speed", DESCRIPTION, "latent-nerf", work="speed", quick=quick)
    random = "a model of Stable Diffusion 1.5's size with weights drawn by chance in place of the recipe's"
    parser.add_argument("--random-model", action="store_true", help=random)
    return run_benchmark(_run, parser.parse_intermixed_args(arguments))


def _run(options: argparse.Namespace) -> Report:
    resolve_threads()
    if options.random_model:
        folder = random_stable_diffusion(options.work / "stable-diffusion-1.5-random")
        options.overrides.append(f"system.guidance.model={folder}")
    figures = measure_speed(options.config, options.overrides, options.device, 5 if options.quick else 30)
    on_gpu = resolve_device(options.device) == "cuda"
    name = f"speed-{options.config.stem}" + ("-gpu" if on_gpu else "")
    return Report(name, not options.quick, figures, report(figures))


if __name__ == "__main__":
    sys.exit(main())
