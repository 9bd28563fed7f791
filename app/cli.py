"""The command line: its options and exit codes. It answers --help before torch is imported."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from app.jobs.options import add_options_of_jobs, check_options_of_jobs
from app.stopping import Interrupted, Signals
from app.streams import lasting_streams
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
network, memory); 4 the training diverged; 5 some of many jobs have failed; 130 and 143 stopped by Ctrl-C or by a
termination signal, with a checkpoint saved if training had begun
"""


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


def main(arguments: Sequence[str]) -> int:
    """Run one command and give the process's exit code; each fault is one line on stderr."""
    with lasting_streams(), Signals() as signals:
        try:
            options = parse(arguments)
            if options.help and options.config is None:
                print(_parser().format_help(), end="")
                return 0
            return _run(options, signals)
        except (Exception, Interrupted, KeyboardInterrupt) as error:
            if signals.has_interrupted or not isinstance(error, Exception):
                print("Stopped at once; what had been saved before is untouched.", file=sys.stderr)
                return signals.exit_code or 130
            from app.terminal import show_failure

            return show_failure(error, debug="--debug" in arguments)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Arguments as given, overrides apart.

    Raises:
        UserError: an unknown option, a missing value, options that exclude each other.
    """
    options = _parser().parse_intermixed_args(_with_raw_prompt(arguments))
    for mode in ("validate", "test", "export", "live"):
        # `--export a.b=3`: the optional RUN must not swallow an override.
        given = getattr(options, mode)
        if isinstance(given, str) and "=" in given and not Path(given).exists():
            options.overrides.insert(0, given)
            setattr(options, mode, "")
    if options.prompt is not None:
        _check_prompt(options.prompt)
    if options.jobs is not None:
        check_options_of_jobs(options)
    elif options.out is None:
        options.out = Path("runs")
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
    add_options_of_jobs(parser)
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


def _hide_gpu() -> None:
    """Keep torch from seeing a GPU, so that no part chooses it behind the user's back; it looks once, when imported."""
    if "torch" not in sys.modules:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def _run(options: argparse.Namespace, signals: Signals) -> int:
    if options.device == "cpu":
        _hide_gpu()
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # advice that torch prints past Python's warnings
    from app.misfits import hide_misfits
    from app.terminal import say, set_up_messages

    set_up_messages()
    hide_misfits()  # before Lightning is imported
    from app import commands, describe, parts
    from core.plugins import load_plugin
    from core.recipe import read_recipe

    if not options.help and options.list is None and options.describe is None:
        return commands.run(options, signals)
    parts.register_parts()
    named = options.config
    recipe = read_recipe(named, options.overrides, options.plugin, trust=options.trust) if named else None
    for plugin in options.plugin:
        load_plugin(plugin)
    if options.help and recipe is not None:
        say(describe.recipe_help(recipe, options.config))
    elif options.list is not None:
        say(describe.list_parts(options.list or None))
    else:
        say(describe.described(options.describe))
    return 0
