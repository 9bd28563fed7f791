"""Where a diffusion model comes from: a folder, a hub id or an alias; read part by part, without pipelines.

A pipeline folder in the diffusers layout names its parts in `model_index.json`. Only the parts that are asked for are
read, so that a safety checker or a third text encoder is neither downloaded nor held in memory. Classes are those of
diffusers and transformers alone: code in a model's folder is never run.
"""

import importlib
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import torch
import yaml

from core.errors import MachineError, UserError, first_line
from guidance.hub_files import UnreachableError, fetched, listed, read_json, snapshot_in
from guidance.model_weights import PICKLES, check_weights, chosen_variant, weights_files

#: The only place where a model is known by a short name.
ALIASES = Path(__file__).parent / "model_aliases.yaml"
#: What a model has to be at all, for one that has not even a table of contents.
LAYOUT = "a Stable-Diffusion-like pipeline in the diffusers layout fits (SD 1.x, 2.x, XL, 3, Flux.1, PixArt-Sigma)"

#: What a hub id looks like.
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


#: The part that a folder is by itself.
ROOT = ""


@dataclass(frozen=True)
class ModelSource:
    """A pipeline's address and its table of contents.

    Attributes:
        name: as the recipe says it, for messages.
        address: what `from_pretrained` is given: a folder or a hub id.
        index: the parsed `model_index.json`: part name -> [library, class].
    """

    name: str
    address: str
    index: Mapping[str, Any]
    _read_before: dict[str, dict[str, Any]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def folder(self) -> Path | None:
        """The model's folder on this disk; None for a hub id."""
        path = Path(self.address)
        return path if path.is_dir() else None

    def parts(self) -> dict[str, tuple[str, str]]:
        """Library and class of the parts that the pipeline holds; one may be listed and empty."""
        return {
            name: (str(entry[0]), str(entry[1]))
            for name, entry in self.index.items()
            if isinstance(entry, list) and len(entry) == 2 and all(entry) and not name.startswith("_")
        }

    def has(self, part: str) -> bool:
        """Whether the pipeline holds this part."""
        return part in self.parts()

    def part_folder(self, part: str) -> Path | None:
        """Where a part's files lie on this disk; None for one of a hub model that has not been fetched."""
        if self.folder is not None:
            return self.folder / part
        names = (_within(part, name) for name in ("config.json", "tokenizer_config.json"))
        config = next(filter(None, (fetched(self.address, name) for name in names)), None)
        return config.parent if config else None

    def files(self, part: str) -> list[Path]:
        """The files that a part is read from, as far as they are on this disk; none where weights are yet to come."""
        folder = self.part_folder(part)
        if folder is None or not folder.is_dir():
            return []
        weights = weights_files(folder)
        texts = sorted(path for path in folder.iterdir() if path.suffix in (".json", ".txt", ".model"))
        return [*texts, *weights] if weights or part.startswith("tokenizer") else []

    def class_of(self, part: str) -> str:
        """The name of a part's class.

        Raises:
            UserError: the part is missing, of a foreign library, or of a class that its library does not have.
        """
        if not self.has(part):
            raise UserError(f"model '{self.name}': has no '{part}', which latent guidance needs; {LAYOUT}")
        library, class_name = self.parts()[part]
        if library not in ("diffusers", "transformers"):
            raise UserError(f"model '{self.name}': its '{part}' is code of '{library}', which is not run; {LAYOUT}")
        if getattr(importlib.import_module(library), class_name, None) is None:
            raise UserError(f"model '{self.name}': {library} has no class '{class_name}' for its '{part}'")
        return class_name

    def part_class(self, part: str) -> Any:
        """A part's class; errors as of `class_of`."""
        class_name = self.class_of(part)
        return getattr(importlib.import_module(self.parts()[part][0]), class_name)

    def tokenizer(self, part: str) -> Any:
        """A tokenizer, by its class's `from_pretrained`.

        Raises:
            UserError: it is missing, of a foreign library, or its files cannot be read.
        """
        return self._read(part)

    def check_files(self, part: str) -> None:
        """See that a network has files that may be read, without reading them.

        Raises:
            UserError: there are none, or pickles alone.
        """
        self._variant(part)

    def network(self, part: str, dtype: torch.dtype = torch.float32) -> Any:
        """A network with its weights in a dtype from the first on; frozen, in evaluation mode.

        Raises:
            UserError: it is missing, of a foreign library, its files cannot be read, or its weights are not all there.
        """
        options = {"dtype": dtype, "use_safetensors": True, "output_loading_info": True}
        variant = self._variant(part)
        with torch.random.fork_rng(devices=[]):  # nothing that is loaded may shift a training's chance
            network, report = self._read(part, variant=variant, **options)
        check_weights(self.name, part, weights_files(self.part_folder(part)), network, report)
        return network.requires_grad_(False).eval()

    def layers(self, part: str) -> Any:
        """A network as its config describes it, without memory for its weights."""
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            return self.part_class(part).from_config(self.config(part))

    def _variant(self, part: str) -> str | None:
        """Which of a network's weights are read; asked of the hub where none are here yet. Errors as of check_files."""
        folder = self.part_folder(part)
        here = [path.name for path in folder.iterdir()] if folder and folder.is_dir() else []
        if self.folder or weights_files(folder):
            return chosen_variant(self.name, folder or part, here)
        try:
            names = [PurePosixPath(name) for name in self._listed]
        except UnreachableError:
            if not any(name.endswith(PICKLES) for name in here):
                raise
            return chosen_variant(self.name, folder or part, here)
        own = [name.name for name in names if name.parent == PurePosixPath(part)]
        return chosen_variant(self.name, PurePosixPath(self.address, part), own)

    @cached_property
    def _listed(self) -> list[str]:
        return listed(self.name, self.address)

    def _read(self, part: str, **options: Any) -> Any:
        part_class = self.part_class(part)
        without_progress_bars()
        local = {"local_files_only": True} if self.folder else {}
        try:
            return part_class.from_pretrained(self.address, subfolder=part or None, **local, **options)
        except Exception as error:  # the libraries raise a dozen kinds; each becomes one line with its cause
            where = self.part_folder(part) or part
            what = f"its '{part}'" if part else "it"
            raise UserError(f"model '{self.name}': cannot read {what}: {first_line(error)} ({where})") from error

    def config(self, part: str, file_name: str = "config.json") -> dict[str, Any]:
        """A part's JSON config.

        Raises:
            UserError: if it is missing or is no JSON.
        """
        file = _within(part, file_name)
        if file not in self._read_before:
            self._read_before[file] = read_json(self.name, self.address, file)
        return dict(self._read_before[file])

    def full_config(self, part: str) -> dict[str, Any]:
        """The config of one of diffusers' networks, with the defaults of what it does not say.

        Raises:
            UserError: as of `config` and `class_of`.
        """
        signature = inspect.signature(self.part_class(part).__init__)
        defaults = {name: each.default for name, each in signature.parameters.items() if name != "self"}
        return {**defaults, **self.config(part)}


def _within(part: str, file_name: str) -> str:
    return f"{part}/{file_name}" if part else file_name


def denoiser_part(source: ModelSource) -> str:
    """The folder of the denoiser: `transformer` for SD 3 and others, `unet` for their elders."""
    return "transformer" if source.has("transformer") else "unet"


def bundled_models() -> dict[str, Path]:
    """The folders of the models that are known by a short name."""
    places = yaml.safe_load(ALIASES.read_text(encoding="utf-8"))
    return {alias: ALIASES.parent / place for alias, place in places.items()}


def find_model(name: str, setting: str = "model") -> ModelSource:
    """The source behind `model:` of a recipe: an alias, a folder in the diffusers layout, or a hub id.

    Args:
        setting: the full path of that setting, for advice.

    Raises:
        UserError: unknown folder, no network, or a folder that holds no pipeline.
    """
    aliases = bundled_models()
    path = aliases.get(name, Path(name).expanduser())
    if path.is_dir():
        path = snapshot_in(path)
        if not (path / "model_index.json").is_file():
            raise UserError(f"model '{name}': {path} has no model_index.json; {LAYOUT}")
        address = str(path)
    elif path.suffix in (".safetensors", *PICKLES):
        raise UserError(f"model '{name}': no such file: {path.absolute()}")
    elif name in aliases or not HUB_ID.fullmatch(name) or name.startswith("."):
        ways = f"{', '.join(aliases)}, a folder, a *.safetensors file, or a hub id like 'owner/name'"
        raise UserError(f"model '{name}': no folder {path}. Give {ways}")
    else:
        address = name
    try:
        return ModelSource(name, address, read_json(name, address, "model_index.json"))
    except UnreachableError as error:
        ways = f"`{setting}={next(iter(aliases))}`, a folder, or download it where there is a network"
        raise MachineError(f"{error}. Use {ways}") from error


def without_progress_bars() -> None:
    """The libraries draw one bar per part, a thousandth of a second long each."""
    import diffusers.utils.logging
    import transformers.utils.logging

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
