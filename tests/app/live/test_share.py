"""What twenty visitors cost a training, in seconds of the processor; and that none of them can stop it by leaving."""

import math
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import fmean

import pytest

pytest.importorskip("viser", reason="the live page needs requirements-live.txt")

from tests.app.live.live_command import Command, launched, until
from tests.app.live.robot import Robot
from tests.app.small_command import ball_command

N_VISITORS, N_ROUNDS = 20, 3
#: Of the training's process, so that a window is as long on a machine that does much else.
WINDOW_PROCESSOR_S = 3.0


def seconds_worked(command: Command) -> float:
    """Processor seconds of all threads of the training's process; other work on the machine does not count."""
    threads = Path(f"/proc/{command.process.pid}/task").glob("*/schedstat")
    return sum(int(each.read_text().split()[0]) for each in threads) / 1e9


def step_of(robot: Robot) -> int:
    found = re.search(r"step (\d+) of", robot.text)
    return int(found[1]) if found else -1


def cost_of_a_step(command: Command, watcher: Robot, meanwhile: Callable[[float], None]) -> float:
    """Processor seconds a step over a while in which something is done ten times a second."""
    worked, step, begun = seconds_worked(command), step_of(watcher), time.monotonic()
    while seconds_worked(command) - worked < WINDOW_PROCESSOR_S:
        meanwhile(time.monotonic() - begun)
        time.sleep(0.1)
    return (seconds_worked(command) - worked) / (step_of(watcher) - step)


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    """A training of a ball that would take hours."""
    endless = ["trainer.max_steps=1000000", "trainer.preview_every=0"]
    with launched([*ball_command(tmp_path), "--prompt", "a ball", *endless, "--live"], tmp_path) as command:
        yield command


@pytest.fixture
def watcher(command: Command) -> Iterator[Robot]:
    """A visitor for whom nothing is drawn, once the training has found its pace."""
    with Robot(command.address()) as watcher:
        watcher.set("Show", "mesh")
        until(lambda: step_of(watcher) > 30, "the training has found its pace")
        yield watcher


@contextmanager
def robots(address: str) -> Iterator[Callable[[float], None]]:
    """Twenty visitors who turn the object all the time, and whose browsers are then killed."""
    with ExitStack() as open_pages:
        crowd = [open_pages.enter_context(Robot(address)) for _ in range(N_VISITORS)]

        def turn(seconds: float) -> None:
            for i, robot in enumerate(crowd):
                robot.look_from(1.8 * math.sin(seconds + i), 0.3, 1.8 * math.cos(seconds + i))

        yield turn
        until(lambda: min(robot.n_pictures for robot in crowd) >= 1, "everybody sees the object")
        for robot in crowd:
            robot.connection.socket.close()  # a killed browser says no goodbye


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="counts processor seconds by /proc")
def test_twenty_visitors_take_no_more_than_was_promised_and_leave_without_a_trace(
    command: Command, watcher: Robot
) -> None:
    alone, crowded = [], []
    for _ in range(N_ROUNDS):
        alone.append(cost_of_a_step(command, watcher, lambda _: None))
        with robots(command.address()) as turn:
            until(lambda: f"{N_VISITORS + 1} visitors" in watcher.text, "all of them are there")
            crowded.append(cost_of_a_step(command, watcher, turn))
        until(lambda: "1 visitor" in watcher.text, "those who are gone are not counted")
    alone.append(cost_of_a_step(command, watcher, lambda _: None))
    # Steps cost more as the object grows: each crowd is compared with the time before and after it.
    ratios = [each / fmean(pair) for each, pair in zip(crowded, pairwise(alone), strict=True)]
    print(f"\nprocessor seconds a step: alone {alone}, with {N_VISITORS} visitors {crowded}, ratios {ratios}")
    # A tenth of the time is a ninth of the training's; the rest is what the counting of both leaves open.
    assert fmean(ratios) < 1 + 1 / 9 + 0.05
    stood = step_of(watcher)
    until(lambda: step_of(watcher) > stood + 5, "the training goes on")
