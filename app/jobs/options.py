"""The options of `--jobs`, and what goes with them; read before torch is imported."""

import argparse
import re
from pathlib import Path

from core.errors import UserError

ENGINES = ("local", "ray")


def add_options_of_jobs(parser: argparse.ArgumentParser) -> None:
    """Add the options to a parser."""
    jobs = parser.add_argument_group("many objects (docs/jobs.md)")
    jobs.add_argument("--jobs", metavar="FILE", type=Path, help="one object a row: CSV, JSON lines or Parquet")
    jobs.add_argument("--engine", choices=ENGINES, default="local", help="where workers run (default: local)")
    jobs.add_argument("--workers", metavar="N", type=_count, help="default: one per GPU, else by cores and memory")
    jobs.add_argument("--ray-address", metavar="ADDRESS", help="of a Ray cluster; auto: the one that runs here")
    jobs.add_argument("--shard", metavar="I/N", type=_shard, default=(1, 1), help="only the I-th of N parts, from 1 on")
    jobs.add_argument("--retry-failed", action="store_true", help="try rows again that have failed")
    jobs.add_argument("--job-timeout", metavar="SECONDS", type=_seconds, help="a row that takes longer is hung")
    jobs.add_argument("--jobs-index", metavar="DIR", type=Path, help="make index.html of a folder of jobs anew")


def check_options_of_jobs(options: argparse.Namespace) -> None:
    """Refuse what does not go with --jobs, and choose where its results go.

    Raises:
        UserError: an option that speaks of one object.
    """
    for name in ("prompt", "resume", "start_from", "validate", "test", "export", "live", "jobs_index"):
        if getattr(options, name) is not None:
            option = "--from" if name == "start_from" else f"--{name.replace('_', '-')}"
            raise UserError(f"{option} does not go with --jobs: rows say what to make, and the same command goes on")
    if options.ray_address is not None and options.engine != "ray":
        raise UserError("--ray-address: say --engine ray too")
    if options.out is None:
        options.out = Path("runs") / options.jobs.stem


def _count(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"at least 1, got {text}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"seconds above 0, got {text}")
    return seconds


def _shard(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    index, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= index <= count:
        raise argparse.ArgumentTypeError(f"I/N with I from 1 to N, such as 1/20, got {text}")
    return index, count
