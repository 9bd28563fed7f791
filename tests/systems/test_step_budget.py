"""A training step stays easy to follow: few of our files take part, and they call each other few times."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).parents[2]
FLOORS = ("core", "geometry", "guidance", "renderers", "systems")
MOST_FILES, MOST_CALLS, MOST_CALLS_OF_A_LOSS = 20, 40, 4


def calls_between_files(action: Callable[[], Any]) -> list[tuple[str, str]]:
    """(calling file, called file) for each call from one of our files into another, straight or through a library."""
    stack: list[str] = []
    calls: list[tuple[str, str]] = []

    def watch(frame: FrameType, event: str, _: Any) -> None:
        path = os.path.relpath(frame.f_code.co_filename, ROOT)
        if event not in ("call", "return") or path.split(os.sep)[0] not in FLOORS:
            return
        if event == "return":
            stack.pop()
            return
        if stack and stack[-1] != path:
            calls.append((stack[-1], path))
        stack.append(path)

    sys.setprofile(watch)
    try:
        action()
    finally:
        sys.setprofile(None)
    return calls


def measure(model: Path, n_losses: int) -> None:
    """Print the calls of one training step with so many losses beside the guidance as JSON."""
    from core.part import Choice
    from core.schedule import Schedule
    from renderers.volume import VolumeRenderer
    from systems.losses.opacity_entropy import OpacityEntropy
    from systems.views.orbit import Orbit
    from tests.systems.small_systems import distilling_system

    # One chunk of samples: further ones repeat the same calls.
    renderer = Choice.of(VolumeRenderer, samples_per_ray=12, samples_per_chunk=12, occupancy_resolution=16)
    losses = {f"sparsity{i}": Choice.of(OpacityEntropy, weight=Schedule.constant(0.01)) for i in range(n_losses)}
    system = distilling_system(model, renderer=renderer, views=Choice.of(Orbit, n_views=4), losses=losses)
    system.set_up()

    def one_step() -> None:
        system.training_step(0, 0)["loss"].backward()

    print(json.dumps(calls_between_files(one_step)))


def calls_of_a_step(model: Path, n_losses: int) -> list[tuple[str, str]]:
    """Measured in a process of its own, without the shape checks: they put frames of theirs between ours."""
    script = (
        f"import sys, pathlib, tests.systems.test_step_budget as t; t.measure(pathlib.Path(sys.argv[1]), {n_losses})"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, str(model)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [(caller, called) for caller, called in json.loads(ran.stdout.splitlines()[-1])]


def test_files_entered_and_calls_between_them_in_one_step(tiny_model: Callable[..., Path]):
    calls = calls_of_a_step(tiny_model(), 1)
    files = {name for pair in calls for name in pair}
    listing = "\n".join(f"{caller} -> {called}" for caller, called in calls)
    assert {"systems/base.py", "renderers/volume.py", "guidance/latent_sds.py", "guidance/sds.py"} <= files
    assert "systems/losses/opacity_entropy.py" in files
    assert len(files) <= MOST_FILES, f"{len(files)} files:\n{listing}"
    assert len(calls) <= MOST_CALLS, f"{len(calls)} calls:\n{listing}"


def test_a_further_loss_costs_few_calls(tiny_model: Callable[..., Path]):
    one, three = (calls_of_a_step(tiny_model(), n) for n in (1, 3))
    assert 2 <= len(three) - len(one) <= 2 * MOST_CALLS_OF_A_LOSS, three


def test_the_counter_counts_calls_through_libraries():
    from core.schedule import Schedule
    from systems.views.orbit import Orbit

    def action() -> None:
        Orbit.Config()  # systems/views/orbit.py -> core/errors.py several times (range checks)
        list(map(Schedule.constant, [1.0]))

    calls = calls_between_files(action)
    assert {caller for caller, _ in calls} <= {"systems/views/orbit.py", "core/schedule.py", "core/memory.py"}
    assert ("systems/views/orbit.py", "core/errors.py") in calls
