"""Where the settings of a recipe are: all that can be said, by its full path, within the parts that it names too."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from core.errors import did_you_mean, nearest_word
from core.part import Choice, find, kinds, names, own_settings, type_hints

#: Of a setting that has no default and that nobody has given.
NOT_GIVEN = object()
#: Settings that one error names.
MOST_NAMED = 3


@dataclass(frozen=True)
class SettingPlace:
    """One setting, and where it stands."""

    path: str
    """Its key, with dots where settings are nested."""
    annotation: Any
    config: type
    """The dataclass whose field it is."""
    value: Any
    """What is said for it, or its default, as a recipe would hold it; NOT_GIVEN where there is neither."""

    @property
    def name(self) -> str:
        """The last word of its path."""
        return self.path.rpartition(".")[2]


def setting_places(
    config: type, mapping: Mapping[Any, Any], prefix: str = "", with_parts: bool = True
) -> Iterator[SettingPlace]:
    """All settings of a dataclass and of what is nested in it.

    Args:
        mapping: what is said; faults in it are passed over.
        prefix: what stands before each path, with its dot.
        with_parts: whether to go into the parts that the mapping or a default names.
    """
    annotations = type_hints(config)
    for field in own_settings(config):
        path, annotation = f"{prefix}{field.name}", annotations[field.name]
        value = mapping[field.name] if field.name in mapping else _default(field)
        yield SettingPlace(path, annotation, config, value)
        yield from _within(annotation, value, path, with_parts)


def plain(value: Any) -> Any:
    """The mapping that a recipe would hold for a dataclass, with every default spelt out."""
    if isinstance(value, Choice):
        return {"type": value.part.part_name, **plain(value.config)}
    if callable(getattr(value, "to_setting", None)):
        return value.to_setting()
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in own_settings(value)}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def advice(word: str, siblings: Sequence[str], paths: Sequence[str]) -> str:
    """The second half of an error on an unknown setting: where one of this name stands, or of a similar one.

    Args:
        siblings: the settings beside which it was said.
        paths: those of the whole recipe.
    """
    by_name: dict[str, list[str]] = {}
    for path in paths:
        by_name.setdefault(path.rpartition(".")[2], []).append(path)
    meant = by_name.get(word)
    if meant is None and nearest_word(word, siblings) is None:
        # `steps` for `max_steps` rather than for what is spelt alike.
        longer = [name for name in by_name if f"_{word}_" in f"_{name}_"]
        close = get_close_matches(word, longer, n=2, cutoff=0) or [nearest_word(word, by_name) or ""]
        meant = [path for name in close for path in by_name.get(name, [])]
    return f"Did you mean {' or '.join(map(repr, meant[:MOST_NAMED]))}?" if meant else did_you_mean(word, siblings)


def _within(annotation: Any, value: Any, path: str, with_parts: bool) -> Iterator[SettingPlace]:
    """The settings nested in one of this annotation."""
    for inner, item, name in _elements(annotation, value):
        yield from _within(inner, item, f"{path}.{name}" if name else path, with_parts)
    said = value if isinstance(value, Mapping) else {}
    config = _part_config(annotation, said) if with_parts and get_origin(annotation) is Choice else annotation
    if dataclasses.is_dataclass(config) and not callable(getattr(config, "from_setting", None)):
        yield from setting_places(config, said, f"{path}.", with_parts)  # pyright: ignore[reportArgumentType]


def _elements(annotation: Any, value: Any) -> list[tuple[Any, Any, str]]:
    """What a setting of several consists of: annotation, value and key of each; alternatives have no key."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return [(option, value, "") for option in inner]
    if origin is dict and isinstance(value, Mapping):
        return [(inner[1], item, str(key)) for key, item in value.items()]
    if origin is tuple and isinstance(value, list) and Ellipsis in inner:
        return [(inner[0], item, str(i)) for i, item in enumerate(value)]
    return []


def _part_config(choice: Any, said: Mapping[Any, Any]) -> type | None:
    """The Config of the part that a mapping names; None where it names none that is known."""
    kind, name = get_args(choice)[0].kind, said.get("type")
    return find(kind, str(name)).Config if kind in kinds() and name in names(kind) else None


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return plain(field.default_factory())
    return NOT_GIVEN if field.default is dataclasses.MISSING else plain(field.default)
