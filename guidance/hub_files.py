"""A model's files, in its folder or on the hub: small ones fetched one by one, and where what was fetched lies."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from core.errors import MachineError, UserError, first_line
from core.files import parse_json

log = logging.getLogger(__name__)

T = TypeVar("T")
LONGEST_WAIT_S = 4.0


class UnreachableError(MachineError):
    """The hub cannot be asked."""


def fetch(name: str, hub_id: str, file_name: str) -> Path:
    """A file of a hub model, from the local cache or downloaded into it.

    Args:
        name: as the recipe says it, for messages.

    Raises:
        UserError: no such model or file, or the hub cannot be reached.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    with _told(name, file_name):
        if fetched(hub_id, file_name) is None:
            log.info("model '%s': fetching %s from huggingface.co", name, file_name)
            # Asked once: the download itself asks six times, for 25 s, before it says that nobody answers.
            _in_time(lambda: get_hf_file_metadata(hf_hub_url(hub_id, file_name)))
        return Path(hf_hub_download(hub_id, file_name))


def listed(name: str, hub_id: str) -> list[str]:
    """The names of all files of a hub model, `unet/config.json` and so on.

    Raises:
        UnreachableError: the hub cannot be asked.
        UserError: no such model.
    """
    from huggingface_hub import HfApi

    with _told(name, "weights"):
        return _in_time(lambda: HfApi().list_repo_files(hub_id))


def read_json(name: str, address: str, file_name: str) -> dict[str, Any]:
    """One of a model's JSON files.

    Raises:
        UserError: it is missing or is no JSON object.
    """
    path = Path(address) / file_name
    if not Path(address).is_dir():
        path = fetch(name, address, file_name)
    if not path.is_file():  # nor a pipe, which would be waited for
        raise UserError(f"model '{name}': {path} is missing")
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"model '{name}': {path} cannot be read as JSON: {first_line(error)}") from error
    if not isinstance(content, dict):
        raise UserError(f"model '{name}': {path} holds no JSON object")
    return content


@contextmanager
def _told(name: str, asked: str) -> Iterator[None]:
    """Within this block, what the hub's library raises is told in one line.

    Args:
        asked: what of the model is asked for.
    """
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        yield
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise UserError(
            f"model '{name}': no such folder here and no such public model on huggingface.co (a gated one needs "
            "`hf auth login`)"
        ) from error
    except RemoteEntryNotFoundError as error:
        raise UserError(f"model '{name}': huggingface.co has no {asked} of it") from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, TimeoutError) as error:
        raise _unreachable(name, asked, error) from error
    except (HfHubHTTPError, OSError) as error:
        raise MachineError(f"model '{name}': huggingface.co: {first_line(error)}") from error
    except Exception as error:  # of the HTTP library below, whose name changes with its releases; a broken proxy's URL
        raise _unreachable(name, asked, error) from error


def _in_time(ask: Callable[[], T]) -> T:
    """Ask, and wait for a few seconds: names that no server resolves, and packets that are dropped, can take minutes.

    Raises:
        TimeoutError: nobody answers.
    """
    failures: list[Exception] = []
    answers: list[T] = []

    def asked() -> None:
        try:
            answers.append(ask())
        except Exception as error:  # told in the thread that waits
            failures.append(error)

    thread = threading.Thread(target=asked, daemon=True)  # no exit waits for it
    thread.start()
    thread.join(LONGEST_WAIT_S)
    if thread.is_alive():
        raise TimeoutError(f"no answer within {LONGEST_WAIT_S:g} s")
    if failures:
        raise failures[0]
    return answers[0]


def fetched(hub_id: str, file_name: str) -> Path | None:
    """Where a file lies that was fetched before; None where it was not."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(hub_id, file_name)
    return Path(found) if isinstance(found, str) else None


def snapshot_in(folder: Path, content: str = "model_index.json") -> Path:
    """The model within a folder of the hub's cache (`models--owner--name`); any other folder as it is.

    It is the version that `main` stands for, else the newest that has a table of contents.

    Args:
        content: the file that every model has.
    """
    snapshots = folder / "snapshots"
    if (folder / content).is_file() or not snapshots.is_dir():
        return folder
    main = folder / "refs" / "main"
    named = snapshots / main.read_text(encoding="utf-8").strip() if main.is_file() else folder
    if (named / content).is_file():
        return named
    whole = [path for path in snapshots.iterdir() if (path / content).is_file()]
    return max(whole, key=lambda path: path.stat().st_mtime, default=folder)


def _unreachable(name: str, asked: str, error: Exception) -> UnreachableError:
    where = f"no such folder here, its {asked} not in the local cache"
    why = first_line(error).rstrip(".")
    return UnreachableError(f"model '{name}': {where}, and huggingface.co cannot be reached ({why})")
