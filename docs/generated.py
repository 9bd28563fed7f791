"""What the manual says by the code's own words: parts with their settings, exit codes, recipes, measured figures."""

import ast
import inspect
import itertools
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.describe import field_docs, settings_of
from app.options import EXAMPLES
from app.parts import register_parts
from core.errors import DivergedError, MachineError, ProgramError, UserError
from core.kinds import TrainerConfig, TrainingStep
from core.part import find, names
from core.recipe import Recipe
from core.types import Cameras, FieldOutput, GuidanceOutput, RaySamples, RenderOutput
from guidance.scores import NoisyLatents, Predicted

DOCS = Path(__file__).parent
ROOT = DOCS.parent
BENCHMARKS = ROOT / "benchmarks"
RECORDS = (TrainingStep, RenderOutput, RaySamples, Cameras, FieldOutput, GuidanceOutput, NoisyLatents, Predicted)
ERRORS = (ProgramError, UserError, MachineError, DivergedError)
#: Exit codes that no error stands for.
ENDINGS = {
    "0": "Everything is there.",
    "5": "Some of the rows of a `--jobs` file have failed; their lines are printed.",
    "130, 143": "Stopped by Ctrl-C or a termination signal; with a checkpoint, if the training had begun.",
}
ADVICE = {
    "0": "Nothing.",
    "1": "Run it again with `--debug`, which shows where it comes from; mend your part, or report a fault of ours.",
    "2": "Read the line: it names the setting, the file or the option, and mostly the nearest valid word.",
    "3": "Read the line: it names what is missing, full or taken. Free it, install it, or name another one.",
    "4": "Lower `guidance_scale` or the learning rates, or say `trainer.precision=32-true`; go on with `--resume RUN`.",
    "5": "Mend the rows, and run the command again with `--retry-failed`.",
    "130, 143": "`--resume RUN` goes on, to the same bits.",
}


def parts(kind: str) -> str:
    """The parts of a kind: what each is, and its settings."""
    register_parts()
    return "\n\n".join(_part(kind, name) for name in names(kind))


def settings(config: str) -> str:
    """The settings of a recipe itself, or of its trainer."""
    return _table({"Recipe": Recipe, "TrainerConfig": TrainerConfig}[config])


def record(name: str) -> str:
    """The fields of a record that parts are given, or give."""
    record = {each.__name__: each for each in RECORDS}[name]
    body = ast.parse(inspect.getsource(record)).body[0]
    assert isinstance(body, ast.ClassDef)
    docs = field_docs(record)
    rows = [
        f"| `{field.target.id}` | `{_cell(ast.unparse(field.annotation))}` | {_words(docs.get(field.target.id, ''))} |"
        for field in body.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    ]
    said = _words(inspect.cleandoc(record.__doc__ or "").splitlines()[0])
    source = Path(inspect.getsourcefile(record) or "").relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
    head = f"`{name}` (`from {source} import {name}`): {said}"
    return "\n".join([head, "", "| field | type | meaning |", "|---|---|---|", *rows])


def errors(_: str) -> str:
    """Every exit code: what it means, and what to do."""
    means = {str(each.exit_code): inspect.cleandoc(each.__doc__ or "").split("\n\n")[0] for each in ERRORS}
    rows = [f"| {code} | {_words(ENDINGS.get(code) or means[code])} | {_words(ADVICE[code])} |" for code in ADVICE]
    return "\n".join(["| exit code | what it means | what to do |", "|---|---|---|", *rows])


def command(_: str) -> str:
    """The examples and exit codes that --help shows."""
    return f"```text\n{EXAMPLES.strip()}\n```"


def recipes(_: str) -> str:
    """The recipes of configs/, each by its first comment; what is indented there is a command."""
    rows = []
    for path in sorted((ROOT / "configs").glob("*.yaml")):
        comment = list(itertools.takewhile(lambda line: line[:1] == "#", path.read_text(encoding="utf-8").splitlines()))
        said = [f"`{line[1:].strip()}`" if line.startswith("#   ") else _words(line[1:]) for line in comment]
        rows.append(f"| `{path.name}` | {' '.join(said)} |")
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
    "record": record,
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
    command = f"python -m benchmarks.{module.stem}{_options(said)}"
    machine = said["machine"]
    where = ", ".join([*filter(None, (machine.get("gpu"), machine["cpu"])), f"torch {machine['torch']}"])
    lines = [f"## {_words(question)}", "", f"`{command}`", ""]
    lines += [f"Measured on {machine['date'][:10]} at commit {machine['commit']} ({where}).", ""]
    if said["floors"]:
        lines += ["| figure | measured | met |", "|---|---|---|"]
        rows = [(each["name"], each["text"], "yes" if each["met"] else "no") for each in said["floors"]]
    else:
        lines += ["| figure | measured |", "|---|---|"]
        own = [(key, _numbers(value)) for key, value in said.items() if key not in ("machine", "overrides", "seeds")]
        rows = [(key.replace("_", " "), shown) for key, shown in own if shown]
    return "\n".join([*lines, *(f"| {' | '.join(map(_words, row))} |" for row in rows)])


def _options(said: dict[str, Any]) -> str:
    """What stood behind a benchmark's name on the command line, as its result file says."""
    words = ["--config", said["config"]] if "config" in said else []
    words += ["--seeds", ",".join(map(str, said["seeds"]))] if said.get("seeds") else []
    for override in said["overrides"]:
        words.append("--random-model" if "stable-diffusion-1.5-random" in override else override)
    return "".join(f" {shlex.quote(word)}" for word in words)


def _numbers(value: Any) -> str:
    """A number, or named ones; empty for anything else."""
    if isinstance(value, int | float):
        return f"{value:g}"
    pairs = value.items() if isinstance(value, dict) else ()
    return ", ".join(f"{name}: {number:g}" for name, number in pairs if isinstance(number, int | float))


def _part(kind: str, name: str) -> str:
    part = find(kind, name)
    file = Path(inspect.getsourcefile(part) or "")
    doc = _words(inspect.cleandoc(part.__doc__ or ""))
    code = f"Code: `{file.relative_to(ROOT)}`, `{part.__name__}`."
    module = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    source = re.findall(r"^Source: (?:.+\n?)+", module, re.MULTILINE)
    return "\n\n".join([f"## {name}", doc, code, *map(_words, source), _table(part.Config)])


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
