"""The options of the command line, and what goes with what; read before torch is imported."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from core.errors import UserError, nearest_word

EXAMPLES = """\
examples:
  python launch.py --config configs/latent-nerf.yaml --prompt "a red mushroom"
  python launch.py --config configs/latent-nerf.yaml --prompt "a blue chair" trainer.max_steps=500 seed=3
  python launch.py --config configs/latent-nerf.yaml --prompt "a red mushroom" --resume auto
  python launch.py --export runs/a-red-mushroom-1a2b3c
  python launch.py --config configs/latent-nerf-rgb.yaml --from runs/a-red-mushroom-1a2b3c
  python launch.py --config configs/latent-nerf.yaml --jobs jobs.csv --out runs/tonight
  python launch.py --config configs/latent-nerf.yaml --prompt "a green mug" --live
  python launch.py --list geometry
  python launch.py --describe hash-grid
  python launch.py --config configs/latent-nerf.yaml --help          # all that this recipe can set

exit codes: 0 done; 1 a fault of the program; 2 recipe or input; 3 this machine (device, disk, permission, lock, model,
network, port, memory); 4 the training diverged; 5 some of many jobs have failed; 130 and 143 stopped by Ctrl-C or by a
termination signal, with a checkpoint saved if training had begun
"""
ENGINES = ("local", "ray")
#: Options that do not go with --jobs, and those that go with it alone.
OF_ONE_OBJECT = (
    "prompt",
    "resume",
    "allow_changed",
    "start_from",
    "validate",
    "test",
    "export",
    "show_recipe",
    "live",
    "jobs_index",
)
OF_JOBS = ("engine", "workers", "ray_address", "shard", "retry_failed", "job_timeout")
#: Options that go with --live alone.
OF_LIVE = ("live_host", "live_paused")


def usage() -> str:
    """What `--help` prints."""
    return _parser().format_help()


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Arguments as given, overrides apart.

    Raises:
        UserError: an unknown option, a missing value, options that exclude each other.
    """
    parser = _parser()
    options = parser.parse_intermixed_args(_with_raw_prompt(arguments))
    for mode in ("validate", "test", "export", "live"):
        # `--export a.b=3`: the optional RUN must not swallow an override.
        given = getattr(options, mode)
        if isinstance(given, str) and "=" in given and not Path(given).exists():
            options.overrides.insert(0, given)
            setattr(options, mode, "")
    if options.prompt is not None:
        _check_prompt(options.prompt)
    for mode, names in (("jobs FILE", OF_JOBS), ("live", OF_LIVE)):
        for name in names if getattr(options, mode.split()[0]) is None else ():
            if getattr(options, name) != parser.get_default(name):
                raise UserError(f"--{name.replace('_', '-')}: goes with --{mode}, which is missing")
    if options.jobs is not None:
        _check_options_of_jobs(options)
    else:
        options.out = options.out or Path("runs")
    return options


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="launch.py",
        description="Make a 3D object from a text: train a latent radiance field and export a mesh.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=False,
    )
    parser.add_argument("-h", "--help", action="store_true", help="this text; with --config, what that recipe can set")
    parser.add_argument("--config", metavar="RECIPE", type=Path, help="recipe to follow, see configs/")
    parser.add_argument("--prompt", metavar="TEXT", help="what to make; raw text, taken as it is")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--train", action="store_true", help="train and export (this is the default)")
    mode.add_argument("--validate", metavar="RUN", nargs="?", const="", help="contact sheet of a trained run")
    mode.add_argument(
        "--test", metavar="RUN", nargs="?", const="", help="many views of a trained run, at twice the size"
    )
    mode.add_argument("--export", metavar="RUN", nargs="?", const="", help="files from a trained run")
    mode.add_argument("--dry-run", action="store_true", help="build and check everything, train nothing")
    mode.add_argument("--show-recipe", action="store_true", help="print the recipe with every default spelt out")
    mode.add_argument("--list", metavar="KIND", nargs="?", const="", help="parts that recipes can name")
    mode.add_argument("--describe", metavar="NAME", help="a part or a setting: what it takes, its default, its meaning")
    parser.add_argument(
        "--resume",
        metavar="auto|PATH",
        help="go on from the last checkpoint: of this command's run, or of a run folder",
    )
    parser.add_argument("--allow-changed", action="store_true", help="resume although the recipe has changed since")
    parser.add_argument(
        "--from",
        dest="start_from",
        metavar="RUN",
        type=Path,
        help="begin with another run's result: a refining stage, or a second coat of paint",
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="where runs go (default: runs; of jobs: runs/NAME)")
    parser.add_argument(
        "--device", choices=["auto", "cpu", "cuda"], default="auto", help="default: a GPU if there is one"
    )
    _add_options_of_jobs(parser)
    live = parser.add_argument_group("live page")
    live.add_argument(
        "--live", metavar="PORT|RUN", nargs="?", const="", help="watch and steer in a browser; or look at a trained run"
    )
    live.add_argument("--live-host", metavar="HOST", default="127.0.0.1", help="0.0.0.0: other machines too, by token")
    live.add_argument("--live-paused", action="store_true", help="wait for somebody to start the training on the page")
    parser.add_argument(
        "--plugin",
        metavar="FILE.py",
        type=Path,
        action="append",
        default=[],
        help="file with your own parts; repeatable",
    )
    parser.add_argument(
        "--trust",
        action="store_true",
        help="run the plugins that a run or another user's recipe names",
    )
    parser.add_argument("--debug", action="store_true", help="show where in the code an error comes from")
    parser.add_argument("overrides", metavar="key.sub=value", nargs="*", help="settings that win over the recipe's")
    return parser


def _with_raw_prompt(arguments: Sequence[str]) -> list[str]:
    """Join `--prompt TEXT` into one word, so that a text which begins with a dash is no option."""
    joined: list[str] = []
    rest = iter(arguments)
    for word in rest:
        text = next(rest, None) if word == "--prompt" else None
        joined.append(word if text is None else f"--prompt={text}")
    return joined


def _check_prompt(prompt: str) -> None:
    if not prompt.strip():
        raise UserError("--prompt: the text is empty. Say what to make, such as --prompt 'a red mushroom'")
    try:
        prompt.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError("--prompt: the text is not valid UTF-8; check the terminal's encoding") from error


def _add_options_of_jobs(parser: argparse.ArgumentParser) -> None:
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


def _check_options_of_jobs(options: argparse.Namespace) -> None:
    """Refuse what does not go with --jobs, and choose where its results go.

    Raises:
        UserError: an option that speaks of one object.
    """
    for name in OF_ONE_OBJECT:
        if getattr(options, name) not in (None, False):
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


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        start = "unrecognized arguments: "
        if not message.startswith(start):
            raise UserError(f"{message}. See: python launch.py --help")
        known = [option for action in self._actions for option in action.option_strings]
        words = [word for word in message.removeprefix(start).split() if word.startswith("-")]
        raise UserError("\n".join(f"{word}: no such option. {_instead(word, known)}" for word in words))


def _instead(word: str, known: Sequence[str]) -> str:
    """What to say in place of an unknown option."""
    if word.partition("=")[0] == "--seed":  # a setting, though it is near to --shard
        known = ()
    if near := nearest_word(word.partition("=")[0], known):
        return f"Did you mean '{near}'?"
    setting, _, value = word.lstrip("-").partition("=")
    return f"A setting is given without dashes: {setting}={value or 'VALUE'}; see python launch.py --help"
