"""Where a diffusion model comes from: a folder, a hub id or an alias; read part by part, without pipelines.

A pipeline folder in the diffusers layout names its parts in `model_index.json`. Only the parts that are asked for are
read, so that a safety checker or a third text encoder is neither downloaded nor held in memory.
"""

import importlib
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from core.errors import UserError
from guidance.model_weights import check_weights, variants_to_try

log = logging.getLogger(__name__)

#: The only place where a model is known by a short name.
ALIASES = Path(__file__).parent / "model_aliases.yaml"

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


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

    @property
    def folder(self) -> Path | None:
        """The model's folder on this disk; None for a hub id."""
        path = Path(self.address)
        return path if path.is_dir() else None

    def has(self, part: str) -> bool:
        """Whether the pipeline holds this part (a part may be listed and empty)."""
        entry = self.index.get(part)
        return isinstance(entry, list) and len(entry) == 2 and all(entry)

    def class_of(self, part: str) -> str:
        """The name of a part's class.

        Raises:
            UserError: the part is missing, of a foreign library, or of a class that its library does not have.
        """
        if not self.has(part):
            raise UserError(f"model '{self.name}': has no '{part}', which latent guidance needs; {FITTING}")
        library, class_name = self.index[part]
        if library not in ("diffusers", "transformers"):
            raise UserError(f"model '{self.name}': its '{part}' is code of '{library}'; {FITTING}")
        if getattr(importlib.import_module(library), class_name, None) is None:
            raise UserError(f"model '{self.name}': {library} has no class '{class_name}' for its '{part}'")
        return class_name

    def tokenizer(self, part: str) -> Any:
        """A tokenizer, by its class's `from_pretrained`.

        Raises:
            UserError: it is missing, of a foreign library, or its files cannot be read.
        """
        return self._read(part)

    def network(self, part: str) -> Any:
        """A network, by its class's `from_pretrained`; frozen, in evaluation mode.

        Raises:
            UserError: it is missing, of a foreign library, its files cannot be read, or its weights are not all there.
        """
        first: UserError | None = None
        for variant in variants_to_try(self.name, self.folder / part if self.folder else None):
            try:
                network, report = self._read(part, variant=variant, use_safetensors=True, output_loading_info=True)
            except UserError as error:
                first = first or error
                continue
            check_weights(self.name, part, network, report)
            return network.requires_grad_(False).eval()
        assert first is not None, "there is something to try"
        raise first

    def _read(self, part: str, **options: Any) -> Any:
        class_name, library = self.class_of(part), self.index[part][0]
        part_class = getattr(importlib.import_module(library), class_name)
        _without_progress_bars()
        local = {"local_files_only": True} if self.folder else {}
        try:
            return part_class.from_pretrained(self.address, subfolder=part, **local, **options)
        except Exception as error:  # the libraries raise a dozen kinds; each becomes one line with its cause
            raise UserError(f"model '{self.name}': cannot read its '{part}': {_first_line(error)}") from error

    def config(self, part: str, file_name: str) -> dict[str, Any]:
        """A part's JSON config.

        Raises:
            UserError: if it is missing or is no JSON.
        """
        return _read_json(self.name, self.address, f"{part}/{file_name}")


FITTING = "a Stable-Diffusion-like pipeline in the diffusers layout fits (SD 1.x, 2.x, XL, 3)"


def find_model(name: str, setting: str = "model") -> ModelSource:
    """The source behind `model:` of a recipe: an alias, a folder in the diffusers layout, or a hub id.

    Args:
        setting: the full path of that setting, for advice.

    Raises:
        UserError: unknown folder, no network, or a folder that holds no pipeline.
    """
    aliases = {alias: ALIASES.parent / place for alias, place in yaml.safe_load(ALIASES.read_text()).items()}
    path = aliases.get(name, Path(name).expanduser())
    if path.is_dir():
        if not (path / "model_index.json").is_file():
            raise UserError(f"model '{name}': {path} has no model_index.json; {FITTING}")
        address = str(path)
    elif name in aliases or not _HUB_ID.fullmatch(name) or name.startswith("."):
        known = ", ".join(aliases)
        raise UserError(f"model '{name}': no folder {path}. Give {known}, a folder, or a hub id like 'owner/name'")
    else:
        address = name
    try:
        return ModelSource(name, address, _read_json(name, address, "model_index.json"))
    except UnreachableError as error:
        ways = f"`{setting}={next(iter(aliases))}`, a folder, or download it where there is a network"
        raise UserError(f"{error}. Use {ways}") from error


def _read_json(name: str, address: str, file_name: str) -> dict[str, Any]:
    path = Path(address) / file_name
    if not Path(address).is_dir():
        path = _download(name, address, file_name)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"model '{name}': {path} is missing") from error
    except (OSError, ValueError) as error:
        raise UserError(f"model '{name}': {path} cannot be read as JSON: {_first_line(error)}") from error
    if not isinstance(content, dict):
        raise UserError(f"model '{name}': {path} holds no JSON object")
    return content


def _download(name: str, hub_id: str, file_name: str) -> Path:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import (
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    log.info("model '%s': reading %s from huggingface.co or its local cache", name, file_name)
    try:
        if not isinstance(try_to_load_from_cache(hub_id, file_name), str):
            # Asked once: the download itself asks six times, for 25 s, before it says that nobody answers.
            get_hf_file_metadata(hf_hub_url(hub_id, file_name))
        return Path(hf_hub_download(hub_id, file_name))
    except RepositoryNotFoundError as error:
        raise UserError(
            f"model '{name}': no such folder here and no such public model on huggingface.co (a gated one needs "
            "`hf auth login`)"
        ) from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        raise _unreachable(name, error) from error
    except (HfHubHTTPError, OSError) as error:
        raise UserError(f"model '{name}': huggingface.co: {_first_line(error)}") from error
    except Exception as error:  # of the HTTP library below, whose name changes with its releases; a broken proxy's URL
        raise _unreachable(name, error) from error


class UnreachableError(UserError):
    """The hub cannot be asked."""


def _unreachable(name: str, error: Exception) -> UnreachableError:
    return UnreachableError(
        f"model '{name}': no such folder here, not in the local cache, and huggingface.co cannot be reached "
        f"({_first_line(error).rstrip('.')})"
    )


def _without_progress_bars() -> None:
    """The libraries draw one bar per part, a thousandth of a second long each."""
    import diffusers.utils.logging
    import transformers.utils.logging

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
