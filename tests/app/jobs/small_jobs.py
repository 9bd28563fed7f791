"""Jobs that take a tenth of a second each: a recipe guided by pictures of a ball, and tables of rows that follow it."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.app.small_command import EXAMPLE, ROOT, SMALL
from tests.known_ball import write_ball_views

PLUGIN = ROOT / "tests" / "plugins" / "troubled_loss.py"


def write_recipe(folder: Path, name: str = "ball.yaml", **more: Any) -> Path:
    """A recipe in a folder, with a loss that can be told to do harm.

    Args:
        more: settings by their paths, with `__` for dots.
    """
    settings = {
        **SMALL,
        "system.guidance.folder": str(write_ball_views(folder / "views", n_views=4)),
        "system.losses.trouble.type": "troubled",
        **{key.replace("__", "."): value for key, value in more.items()},
    }
    path = folder / name
    tree: dict[str, Any] = {}
    for key, value in settings.items():
        *branches, leaf = key.split(".")
        here = tree
        for branch in branches:
            here = here.setdefault(branch, {})
        here[leaf] = value
    tree["exporters"] = yaml.safe_load(tree["exporters"])
    tree |= {"extends": str(EXAMPLE), "plugins": [str(ROOT / "examples" / "my_field.py"), str(PLUGIN)]}
    path.write_text(json.dumps(tree))  # JSON is YAML
    return path


def write_jobs(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """A CSV file of rows, which need not have the same columns."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, columns)
        table.writeheader()
        table.writerows(rows)
    return path


def command(recipe: Path, jobs: Path, out: Path, *more: str) -> list[str]:
    """The words after launch.py."""
    return ["--config", str(recipe), "--jobs", str(jobs), "--out", str(out), "--device", "cpu", *more]


def lines_of(out: Path) -> list[dict[str, Any]]:
    """What results.jsonl holds."""
    return [json.loads(line) for line in (out / "results.jsonl").read_text(encoding="utf-8").splitlines()]
