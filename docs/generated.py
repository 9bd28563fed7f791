"""What the manual says by the code's own words: parts with their settings, exit codes, recipes, measured figures."""

import ast
import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.cli import EXAMPLES
from app.describe import settings_of
from app.parts import register_parts
from core.errors import DivergedError, MachineError, ProgramError, UserError
from core.part import find, names
from core.recipe import Recipe, TrainerConfig

DOCS = Path(__file__).parent
ROOT = DOCS.parent
BENCHMARKS = ROOT / "benchmarks"
ERRORS = (ProgramError, UserError, MachineError, DivergedError)


def parts(kind: str) -> str:
    """The parts of a kind: what each is, and its settings."""
    register_parts()
    return "\n\n".join(_part(kind, name) for name in names(kind))


def settings(config: str) -> str:
    """The settings of a recipe itself, or of its trainer."""
    return _table({"Recipe": Recipe, "TrainerConfig": TrainerConfig}[config])


def errors(_: str) -> str:
    """The classes of errors, each with its exit code."""
    rows = [
        f"| {each.exit_code} | {_words(inspect.cleandoc(each.__doc__ or '').split(chr(10) * 2)[0])} |"
        for each in ERRORS
    ]
    return "\n".join(["| exit code | what it means |", "|---|---|", *rows])


def command(_: str) -> str:
    """The examples and exit codes that --help shows."""
    return f"```text\n{EXAMPLES.strip()}\n```"


def recipes(_: str) -> str:
    """The recipes of configs/, each by its first comment."""
    rows = []
    for path in sorted((ROOT / "configs").glob("*.yaml")):
        lines = path.read_text(encoding="utf-8").splitlines()
        said = " ".join(
            line.lstrip("# ") for line in lines[: next(i for i, line in enumerate(lines) if line[:1] != "#")]
        )
        rows.append(f"| `{path.name}` | {_words(said)} |")
    return "\n".join(["| recipe | what it makes |", "|---|---|", *rows])


def figures(_: str) -> str:
    """What the benchmarks have measured, each with its command and machine, as their result files say."""
    return "\n\n".join(_measured(path) for path in sorted((BENCHMARKS / "results").glob("*.json")))


def further(_: str) -> str:
    """The contents' last part: pages that index.md does not name."""
    pages = (
        path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md") if "_build" not in path.parts
    )
    named = (DOCS / "index.md").read_text(encoding="utf-8").splitlines()
    rest = sorted(page for page in pages if page not in [*named, "index"])
    return "\n".join(["```{toctree}", ":maxdepth: 1", ":caption: Further", "", *rest, "```"]) if rest else ""


#: By the word that a page asks with.
GENERATED: dict[str, Callable[[str], str]] = {
    "parts": parts,
    "settings": settings,
    "errors": errors,
    "command": command,
    "recipes": recipes,
    "figures": figures,
    "further": further,
}


def _measured(path: Path) -> str:
    """A result file under the question that its benchmark asks: floors with their outcome, or the bare numbers."""
    said, name = json.loads(path.read_text(encoding="utf-8")), path.stem.replace("-", "_")
    module = max(
        (file for file in BENCHMARKS.glob("*.py") if name.startswith(file.stem)), key=lambda file: len(file.stem)
    )
    question = (ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or "").splitlines()[0]
    own = f" --config {said['config']}" if "config" in said else ""
    own += " --random-model" if any("random" in override for override in said["overrides"]) else ""
    machine = said["machine"]
    where = ", ".join([*filter(None, (machine.get("gpu"), machine["cpu"])), f"torch {machine['torch']}"])
    lines = [f"### {_words(question)}", "", f"`python -m benchmarks.{module.stem}{own}`", ""]
    lines += [f"Measured on {machine['date'][:10]} ({where}).", ""]
    if said["floors"]:
        lines += ["| figure | measured | met |", "|---|---|---|"]
        rows = [(each["name"], each["text"], "yes" if each["met"] else "no") for each in said["floors"]]
    else:
        lines += ["| figure | measured |", "|---|---|"]
        rows = [(key.replace("_", " "), shown) for key, value in said.items() if (shown := _numbers(value))]
    return "\n".join([*lines, *(f"| {' | '.join(map(_words, row))} |" for row in rows)])


def _numbers(value: Any) -> str:
    """A number, or named ones; empty for anything else."""
    if isinstance(value, int | float):
        return f"{value:g}"
    pairs = value.items() if isinstance(value, dict) else ()
    return ", ".join(f"{name}: {number:g}" for name, number in pairs if isinstance(number, int | float))


def _part(kind: str, name: str) -> str:
    part = find(kind, name)
    source = Path(inspect.getsourcefile(part) or "").relative_to(ROOT)
    doc = _words(inspect.cleandoc(part.__doc__ or ""))
    return f"## {name}\n\n{doc}\n\nSource: `{source}`, `{part.__name__}`.\n\n{_table(part.Config)}"


def _table(config: type) -> str:
    rows = [
        f"| `{row.path}` | {_words(row.accepts)} | {'required' if row.default is None else f'`{_cell(row.default)}`'} "
        f"| {_words(row.meaning)} |"
        for row in settings_of(config)
    ]
    return (
        "\n".join(["| setting | takes | default | meaning |", "|---|---|---|---|", *rows]) if rows else "No settings."
    )


def _words(text: str) -> str:
    """Plain text in a cell: what Markdown would take for something else is escaped, `code` stays code."""
    pieces = re.split(r"(`[^`]*`)", " ".join(text.split()))
    plain = [
        re.sub(r"([\\*_\[\]<>|$#])", r"\\\1", piece) if i % 2 == 0 else _cell(piece) for i, piece in enumerate(pieces)
    ]
    return "".join(plain)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
