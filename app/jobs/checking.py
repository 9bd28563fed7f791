"""Rows into jobs: every row is checked before the first one starts, and all faults are told in one go."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.inputs import inputs_missing
from app.jobs.folder import JOB, Contents, Task, contents_of, digests_before, digests_of, state_of
from app.jobs.names import bad_name, given, job_name, numbered, shared_folders
from app.jobs.table import Row
from app.machine import Device, resolve_precision
from app.parts import packed_recipe, register_parts
from core.errors import UserError, after, did_you_mean, gathering
from core.paths import absolute
from core.recipe import Recipe
from core.recipe_layers import Layer, Overrides, file_layers, keys_of
from core.stages import first_system, stages_of
from systems.loggers import require_loggers

FILES = ("shape", "texture")
COLUMNS = ("id", "prompt", "config", *FILES, "seed")


@dataclass(frozen=True)
class Job:
    """One object to make."""

    id: str
    row: Row
    recipes: tuple[Recipe, ...]
    """Of its stages, mostly one; with prompt and seed."""
    digests: Mapping[str, str]
    recipe_name: str
    """As the row or the command calls it."""

    def task(self, out: Path, device: str) -> Task:
        """What a worker is given of it."""
        recipes = tuple(packed_recipe(recipe) for recipe in self.recipes)
        shown = self.recipes[0].shown_prompt
        return Task(self.id, self.row.number, shown, out / self.id, recipes, dict(self.digests), device)


@dataclass(frozen=True)
class _Shared:
    """What rows have in common that differ in prompt and seed only."""

    recipes: tuple[Recipe, ...]
    contents: Contents
    faults: tuple[str, ...]


class Checker:
    """Makes jobs of rows; what rows have in common is read once."""

    def __init__(
        self,
        file: Path,
        config: Path | None,
        overrides: Sequence[str] = (),
        plugins: Sequence[Path] = (),
        device: Device = "cpu",
        trust: bool = False,
    ) -> None:
        """
        Args:
            file: the jobs file, from whose folder the rows' paths start.
            config: the recipe of rows that name none.
            overrides: `key.sub=value` texts that win over recipes and rows.
        """
        register_parts()
        self.folder = file.resolve().parent
        self.config, self.plugins, self.trust = config, plugins, trust
        self.device: Device = device
        self.command = Overrides(tuple(overrides), Path.cwd())
        self._layers: dict[Path, list[Layer]] = {}
        self._read: dict[Any, _Shared | UserError] = {}
        self._digests: dict[Path, str] = {}

    def jobs(self, rows: Sequence[Row], out: Path) -> list[Job]:
        """The jobs of all rows.

        Raises:
            UserError: one line for each fault, with the numbers of the rows that have it.
        """
        faults: dict[str, list[int]] = defaultdict(list)
        jobs: list[Job] = []
        for row in rows:
            try:
                jobs.append(self.job(row))
            except UserError as error:
                for line in str(error).splitlines():
                    faults[line].append(row.number)
        for line, numbers in [*shared_folders(rows), *_changed(jobs, out)]:
            faults[line] += numbers
        if faults:
            raise UserError("\n".join(f"{numbered(numbers)}: {line}" for line, numbers in faults.items()))
        return jobs

    def job(self, row: Row) -> Job:
        """The job of one row.

        Raises:
            UserError: one line for each fault of it.
        """
        if row.fault is not None:
            raise UserError(row.fault)
        cells = given(row)
        name = job_name(cells)
        faults = [*_unknown(row.cells), *_code(cells), *_empty_prompt(row.cells), *bad_name(name)]
        shared = self._shared(cells, faults)
        seed = self._seed(cells, faults)
        said = cells.get("prompt")
        is_missing = shared is not None and not said and not all(each.prompt.strip() for each in shared.recipes)
        if is_missing and "prompt" not in row.cells:
            faults.append("prompt: missing; the recipe has none, so a column 'prompt' says what to make")
        if faults or shared is None:
            raise UserError("\n".join(faults))
        with gathering() as found:
            own = [
                replace(each, prompt=said or each.prompt, seed=each.seed if seed is None else seed)
                for each in shared.recipes
            ]
        if found:
            raise UserError("\n".join(found))
        digests = digests_of(own, shared.contents, {**cells, "id": ""})
        return Job(name, row, tuple(own), digests, cells.get("config") or str(self.config))

    def _shared(self, cells: Mapping[str, str], faults: list[str]) -> _Shared | None:
        """What the row has in common with others; the faults of it are added."""
        files = {column: self._file(column, cells[column], faults) for column in FILES if column in cells}
        own = sorted((key, text) for key, text in cells.items() if "." in key and not _names_code(key))
        key = (cells.get("config"), *own, *files.items())
        if key not in self._read:
            try:
                self._read[key] = self._read_recipes(cells.get("config"), own, files)
            except UserError as error:
                self._read[key] = error
        known = self._read[key]
        faults += str(known).splitlines() if isinstance(known, UserError) else known.faults
        return None if isinstance(known, UserError) else known

    def _file(self, column: str, text: str, faults: list[str]) -> Path | None:
        """The file of a cell; None for the mesh's own texture."""
        if (column, text) == ("texture", "own"):
            return None
        path = absolute(Path(text).expanduser(), self.folder)
        if not path.is_file():
            hint = " (a picture, or the word 'own')" if column == "texture" else ""
            faults.append(f"{column}: {text}: no such file{hint}")
        return path

    def _read_recipes(
        self, config: str | None, own: Sequence[tuple[str, str]], files: Mapping[str, Path | None]
    ) -> _Shared:
        path = absolute(Path(config).expanduser(), self.folder) if config else self.config
        if path is None:
            raise UserError("config: no recipe; name one in a column 'config', or with --config for all rows")
        if path not in self._layers:
            self._layers[path] = file_layers(path)
        row = Overrides(tuple(f"{key}={text}" for key, text in own), self.folder)
        said, faults = [row, self.command], list[str]()
        if files:
            said.insert(1, self._said_by_files(path, said, files, faults))
        with after(faults):
            recipes = stages_of(self._layers[path], said, path, self.plugins, self.trust)
        first = recipes[0]
        faults += [fault for recipe in recipes for fault in inputs_missing(recipe)]
        if getattr(first.system.part, "refines", False) and first.start_from is None:
            faults.append(f"config: '{first.system.part.part_name}' goes on from a run; take a recipe with stages")
        for recipe in recipes:
            resolve_precision(recipe.trainer.precision, self.device)
            if recipe.trainer.devices > 1:
                faults.append("trainer.devices: 1 for a row; give --workers the devices, which then do a row each")
            require_loggers(recipe.trainer.logger)
        return _Shared(recipes, contents_of(recipes, self._digests), tuple(faults))

    def _said_by_files(
        self, path: Path, said: Sequence[Overrides], files: Mapping[str, Path | None], faults: list[str]
    ) -> Overrides:
        """A row's shape and texture, as the settings that the recipe's first system says they are; faults are added."""
        system, prefix = first_system(self._layers[path], said, path, self.trust)
        settings = getattr(system, "settings_of_jobs", {})
        texts: list[str] = []
        for column, file in files.items():
            key = f"{prefix}{settings.get(column)}"
            if column not in settings:
                here = f"'{system.part_name}' ({path.name})"
                faults.append(f"{column}: {here} takes none; leave it empty, or name another recipe")
            elif key in said[0].keys:
                faults.append(f"{key}: the column '{column}' says it too; leave one of the two empty")
            else:
                texts.append(f"{key}={'own-texture' if file is None else file}")
        return Overrides(tuple(texts), self.folder)

    def _seed(self, cells: Mapping[str, str], faults: list[str]) -> int | None:
        """The row's seed, unless the command has one for all."""
        text = cells.get("seed")
        if text is None or "seed" in self.command.keys:
            return None
        if re.fullmatch(r"[0-9]{1,10}(\.0)?", text):  # tables of numbers with gaps hold 3.0
            return int(text.removesuffix(".0"))
        faults.append(f"seed: an integer from 0 to 2^32 - 1, got {text[:40]!r}")
        return None


def _unknown(cells: Mapping[str, str]) -> list[str]:
    """A fault for each column that is neither one of ours nor a setting; what settings there are, the recipe knows."""
    unknown = [column for column in cells if column not in COLUMNS and "." not in column]
    return [f"{column}: no such column. {did_you_mean(column, COLUMNS)}" for column in unknown]


def _code(cells: Mapping[str, str]) -> list[str]:
    """A fault for each column that names a program: a table is data, and is trusted with no more."""
    named = [column for column in cells if _names_code(column)]
    return [f"{column}: a row runs no code; name plugins in a recipe, or with --plugin" for column in named]


def _names_code(column: str) -> bool:
    return "." in column and "plugins" in keys_of([column])[0].split(".")


def _empty_prompt(cells: Mapping[str, str]) -> list[str]:
    is_empty = "prompt" in cells and not cells["prompt"].strip()
    return ["prompt: empty; say what to make, such as 'a red mushroom'"] if is_empty else []


def _changed(jobs: Sequence[Job], out: Path) -> list[tuple[str, list[int]]]:
    """Faults of rows whose folder was made by something else."""
    faults = []
    for job in jobs:
        folder = out / job.id
        try:
            before = digests_before(folder) if state_of(folder) != "new" else job.digests
        except UserError as error:
            faults.append((str(error), [job.row.number]))
            continue
        if not before:
            text = f"{folder / JOB} cannot be read, which says what '{job.id}' was made of; give the row another id"
            faults.append((text, [job.row.number]))
            continue
        what = [name for name in ("recipe", "inputs") if before.get(name) != job.digests[name]]
        if what:
            text = (
                f"'{job.id}': its {what[0]} has changed since {folder} was made; give it another id, or another --out"
            )
            faults.append((text, [job.row.number]))
    return faults
