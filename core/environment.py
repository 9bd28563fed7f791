"""Settings that name the environment, `${oc.env:NAME}`: used by their value, and written down by their name.

A token, a folder of somebody's home or a prompt that came in by a variable so never lands in recipe.yaml, prompt.txt,
a folder's name or a report; a run that is resumed or exported asks the environment anew.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from core.errors import UserError, printable

_NAMED = re.compile(r"\$\{\s*oc\.env\s*:")
_VARIABLE = re.compile(r"\$\{\s*oc\.env\s*:\s*['\"]?([^,}'\"]+?)['\"]?\s*[,}]")
_MARKED = re.compile(r"(\\*)\0\{(.*?)\}\0", re.DOTALL)
#: Values of no more letters are words that an error may have of its own.
_MET_BY_CHANCE = 3
_PLAIN_WORD = re.compile(r"[\w./-]+")


@dataclass(frozen=True)
class FromEnvironment:
    """A setting that holds something of the environment."""

    key: str
    """Where it stands in a recipe, `#` for a place in a list."""
    written: str
    """As a recipe's file has it: other `${` are escaped."""
    shown: str
    """As people are shown it."""
    value: Any
    """What it stands for."""


def from_environment(tree: Any) -> list[FromEnvironment]:
    """The settings of a tree, before its interpolations are resolved, that name the environment or another such one.

    Raises:
        OmegaConfBaseException: an interpolation that cannot be resolved.
    """
    if not _NAMED.search(str(tree)):
        return []
    resolved = OmegaConf.to_container(OmegaConf.create(tree), resolve=True)
    marked = OmegaConf.create(_with_other_resolver(tree))
    found: list[FromEnvironment] = []
    for path, value in _leaves(resolved):
        text = _marked_text(marked, path)
        if text is None:  # nothing of the environment
            continue
        raw, key = _at(tree, path), key_pattern(".".join(map(str, path)))
        if "\0" in text and isinstance(value, str):
            shown = _MARKED.sub(r"\1${\2}", text)
            written = _MARKED.sub(r"\1\1${\2}", escaped(text))
        elif isinstance(raw, str):  # made a number by another resolver, which is part of what is written
            shown = written = raw
        else:  # in a branch that stands for another one, which has it too
            shown = written = next((one.written for one in found if one.value == value), "")
        found.append(FromEnvironment(key, written, shown, value))
    return found


@contextmanager
def values_hidden(said: str) -> Iterator[None]:
    """Within this block, errors show the names of variables in place of their values.

    Args:
        said: a recipe's text, or all that it is made of, interpolations as they were written.
    """
    try:
        yield
    except UserError as error:
        text = str(error)
        for name in dict.fromkeys(_VARIABLE.findall(said)):
            if value := os.environ.get(name):
                text = _without(text, value, f"${{oc.env:{name}}}")
        if text == str(error):
            raise
        error.args = (text,)
        raise error from None  # the cause, which --debug shows, has the value too


def _without(text: str, value: str, name: str) -> str:
    """A text with a name in place of a value; one so short that it may be met by chance, only where it is quoted."""
    for form in dict.fromkeys((value, repr(value)[1:-1], printable(value), value.strip())):
        lead = r"(?<!\w)" if len(form) > _MET_BY_CHANCE else r"(?<=['\"])|(?<=got )"
        text = re.sub(rf"(?:{lead}){re.escape(form)}(?!\w)", lambda _: name, text) if form else text
    return text


def as_written(tree: Any, named: Sequence[FromEnvironment], prefix: str = "") -> Any:
    """A resolved tree as a recipe's file has it: names in place of what they stand for, other `${` escaped."""
    return _replaced(tree, named, prefix, lambda one: one.written, escaped)


def as_shown(tree: Any, named: Sequence[FromEnvironment], prefix: str = "") -> Any:
    """A resolved tree as people are shown it: names in place of what they stand for."""
    return _replaced(tree, named, prefix, lambda one: one.shown, lambda leaf: leaf)


def escaped(tree: Any) -> Any:
    """Keep OmegaConf from taking `${` in a text for an interpolation when the tree is resolved."""
    if isinstance(tree, str):
        return re.sub(r"(\\*)\$\{", r"\1\1\\${", tree)
    if isinstance(tree, dict):
        return {key: escaped(item) for key, item in tree.items()}
    return [escaped(item) for item in tree] if isinstance(tree, list) else tree


def key_pattern(key: str) -> str:
    """A key with `#` for numbers; what is said for all exporters stands with each."""
    return re.sub(r"^exporter\.", "exporters.#.", re.sub(r"(?<=\.)\d+(?=\.|$)", "#", key))


def _replaced(tree: Any, named: Sequence[FromEnvironment], prefix: str, said: Any, otherwise: Any) -> Any:
    if isinstance(tree, Mapping):
        inner = f"{prefix}." if prefix else ""
        return {key: _replaced(item, named, f"{inner}{key}", said, otherwise) for key, item in tree.items()}
    if isinstance(tree, list):
        return [_replaced(item, named, f"{prefix}.#", said, otherwise) for item in tree]
    key = key_pattern(prefix)
    return next((said(one) for one in named if one.key == key and one.value == tree), otherwise(tree))


def _name_of(*words: Any) -> str:
    """What stands in place of a variable's value: its name, between marks that no recipe can hold."""
    texts = ["null" if word is None else str(word) for word in words]
    quoted = [text if _PLAIN_WORD.fullmatch(text) else "'" + re.sub(r"(['\\])", r"\\\1", text) + "'" for text in texts]
    return "\0{oc.env:" + ",".join(quoted) + "}\0"


OmegaConf.register_resolver("latent_nerf.name_of", _name_of, replace=True)


def _with_other_resolver(tree: Any) -> Any:
    if isinstance(tree, str):
        return _NAMED.sub("${latent_nerf.name_of:", tree)
    if isinstance(tree, Mapping):
        return {key: _with_other_resolver(item) for key, item in tree.items()}
    return [_with_other_resolver(item) for item in tree] if isinstance(tree, list) else tree


def _leaves(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    if isinstance(tree, Mapping):
        return [leaf for key, item in tree.items() for leaf in _leaves(item, (*path, key))]
    if isinstance(tree, list):
        return [leaf for i, item in enumerate(tree) for leaf in _leaves(item, (*path, i))]
    return [(path, tree)]


def _marked_text(marked: Any, path: Sequence[Any]) -> str | None:
    """A leaf with names in place of values; None where nothing of it is from the environment."""
    try:
        text = str(_at(marked, path))
    except (OmegaConfBaseException, ValueError):
        return ""  # another resolver wants the value itself
    return text if "\0" in text else None


def _at(tree: Any, path: Sequence[Any]) -> Any:
    for word in path:
        try:
            tree = tree[word]
        except (KeyError, IndexError, TypeError):  # below an interpolation of a whole branch
            return None
    return tree
