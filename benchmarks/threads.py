"""Does it cost a training alone, and help two at once, to let OpenMP's threads sleep while they wait?

    python -m benchmarks.threads [--quick]

For each way of waiting two trainings are started and warmed. Then come rounds: a few steps of one alone, and of both at
once, one way after the other. A round's figures are ratios to threads that spin as they do by default, so that whatever
else the machine does in the meantime slows all ways alike; medians over the rounds are reported.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from statistics import median
from typing import IO, Any

from tqdm import tqdm

from app.process import SAID_BY_USERS
from benchmarks.command import Report, benchmark_parser, run_benchmark
from benchmarks.floors import Floor
from benchmarks.machine import ROOT

DESCRIPTION = "Measure trainings alone and two at once with ways of waiting of OpenMP's threads."
#: What is set in the environment; the first is what others are compared with, the second what launch.py sets.
BY_DEFAULT, CHOSEN = "by default", "passive"
WAYS: Mapping[str, Mapping[str, str]] = {
    BY_DEFAULT: {},
    CHOSEN: {"OMP_WAIT_POLICY": "passive"},
    "passive, spin count 1000": {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000"},
    "passive, spin count 30000": {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "30000"},
}
N_ROUNDS, N_STEPS = 7, 2
#: Most that a training alone may lose.
MOST_LOSS = 0.05


class Training:
    """A process that takes as many training steps as it is asked for."""

    def __init__(self, way: Mapping[str, str]) -> None:
        kept = {name: value for name, value in os.environ.items() if name not in SAID_BY_USERS}
        command = [sys.executable, "-m", "benchmarks.thread_work"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, cwd=ROOT, env={**kept, **way}, stdin=pipe, stdout=pipe, text=True)

    def begin(self, n_steps: int) -> None:
        """Take steps; `seconds` gives how long they took."""
        _pipe(self.process.stdin).write(f"{n_steps}\n")
        _pipe(self.process.stdin).flush()

    def seconds(self) -> float:
        """Of the steps begun last, when they are done."""
        return float(_pipe(self.process.stdout).readline())

    def end(self) -> None:
        """Let the process end, or make it."""
        _pipe(self.process.stdin).close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        _pipe(self.process.stdout).close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and give the exit code."""
    parser = benchmark_parser("threads", DESCRIPTION, None, work="threads", quick="two rounds instead of seven")
    return run_benchmark(_run, parser.parse_intermixed_args(arguments))


def _run(options: argparse.Namespace) -> Report:
    rounds = measured(2 if options.quick else N_ROUNDS, N_STEPS)
    ratios = {way: {case: ratio_to_default(rounds, way, case) for case in ("alone", "two at once")} for way in WAYS}
    chosen = ratios[CHOSEN]
    alone, both = chosen["alone"], chosen["two at once"]
    return Report(
        "threads",
        whole=not options.quick,
        figures={
            "load_average": os.getloadavg()[1],
            "steps_a_round": N_STEPS,
            "time_over_default": ratios,
            "seconds_by_round": rounds,
        },
        text="\n".join(
            f"{way:26} alone {of['alone']:.3f}, two at once {of['two at once']:.3f} of the default's time"
            for way, of in ratios.items()
        ),
        floors=[
            Floor("alone", -alone, -(1 + MOST_LOSS), f"{alone:.3f} of the time, at most {1 + MOST_LOSS} wanted"),
            Floor("two at once", -both, -1.0, f"{both:.3f} of the time, less than 1 wanted", strictly=True),
        ],
    )


def measured(n_rounds: int, n_steps: int) -> list[dict[str, dict[str, float]]]:
    """Seconds by way and case, for each round."""
    trainings: dict[str, tuple[Training, Training]] = {}
    try:
        for name, way in WAYS.items():
            trainings[name] = (Training(way), Training(way))
            for training in trainings[name]:
                training.seconds()
        return [
            {name: _both_cases(pair, n_steps) for name, pair in _turned(trainings, number).items()}
            for number in tqdm(range(n_rounds), unit="round", disable=None)
        ]
    finally:
        for pair in trainings.values():
            for training in pair:
                training.end()


def _turned(trainings: dict[str, Any], by: int) -> dict[str, Any]:
    """The same in another order each round: none is always the first."""
    names = list(trainings)
    return {name: trainings[name] for name in (*names[by % len(names) :], *names[: by % len(names)])}


def _both_cases(pair: tuple[Training, Training], n_steps: int) -> dict[str, float]:
    pair[0].begin(n_steps)
    alone = pair[0].seconds()
    for training in pair:
        training.begin(n_steps)
    return {"alone": alone, "two at once": max(training.seconds() for training in pair)}


def ratio_to_default(rounds: Sequence[Mapping[str, Mapping[str, float]]], way: str, case: str) -> float:
    """Median over the rounds of a way's time, as a share of the default's in the same round."""
    return median(one[way][case] / one[BY_DEFAULT][case] for one in rounds)


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None, "opened with the process"
    return pipe


if __name__ == "__main__":
    sys.exit(main())
