"""Files of a model on the hub: small ones fetched one by one, and where what was fetched lies on this disk."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from core.errors import MachineError, first_line

log = logging.getLogger(__name__)

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
            _in_time(lambda: get_hf_file_metadata(hf_hub_url(hub_id, file_name)))
        return Path(hf_hub_download(hub_id, file_name))
    except RepositoryNotFoundError as error:
        raise MachineError(
            f"model '{name}': no such folder here and no such public model on huggingface.co (a gated one needs "
            "`hf auth login`)"
        ) from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, TimeoutError) as error:
        raise _unreachable(name, error) from error
    except (HfHubHTTPError, OSError) as error:
        raise MachineError(f"model '{name}': huggingface.co: {first_line(error)}") from error
    except Exception as error:  # of the HTTP library below, whose name changes with its releases; a broken proxy's URL
        raise _unreachable(name, error) from error


def _in_time(ask: Callable[[], object]) -> None:
    """Ask, and wait for a few seconds: names that no server resolves, and packets that are dropped, can take minutes.

    Raises:
        TimeoutError: nobody answers.
    """
    failures: list[Exception] = []

    def asked() -> None:
        try:
            ask()
        except Exception as error:  # told in the thread that waits
            failures.append(error)

    thread = threading.Thread(target=asked, daemon=True)  # no exit waits for it
    thread.start()
    thread.join(LONGEST_WAIT_S)
    if thread.is_alive():
        raise TimeoutError(f"no answer within {LONGEST_WAIT_S:g} s")
    if failures:
        raise failures[0]


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


def _unreachable(name: str, error: Exception) -> UnreachableError:
    return UnreachableError(
        f"model '{name}': no such folder here, not in the local cache, and huggingface.co cannot be reached "
        f"({first_line(error).rstrip('.')})"
    )
