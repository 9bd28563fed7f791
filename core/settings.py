"""Plain mappings into frozen dataclasses, strictly: all faults are found at once, each with its full path.

What a Config's field may be annotated with: bool, int, float, str, Path, FolderOrName (core/paths.py), X | None,
Literal["a", "b"], tuple[X, ...], tuple[X, Y], dict[str, X], another frozen dataclass, Choice[Kind] (core/part.py), and
any class with a classmethod `from_setting(value)` and a method `to_setting()`, such as Schedule. A dataclass may name
settings that it no longer has: `MOVED: ClassVar[Mapping[str, str]]`, from the old name to what is said instead.
"""

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from core.errors import UserError, did_you_mean, gathering
from core.part import Choice, Part, find, names, own_settings, type_hints
from core.paths import FolderOrName
from core.setting_paths import advice, setting_places

T = TypeVar("T")
MISSING = "???"
#: The largest integer that is kept exactly wherever it goes: into float64, JSON and torch.
_LARGEST = 2**53
_FAILED = object()
#: How an annotation is called, what is taken for it, and what makes it of that.
_SCALARS: dict[Any, tuple[str, tuple[type, ...], Callable[[Any], Any]]] = {
    bool: ("true or false", (bool,), bool),
    int: ("an integer", (int,), int),
    float: ("a number", (int, float), float),
    str: ("a text", (str,), str),
    Path: ("a path", (str,), Path),
    FolderOrName: ("a folder or a name", (str,), str),
}


class Faults(list[str]):
    """What is wrong with a mapping, one line each.

    Attributes:
        paths: gives the full paths of all that can be set there.
    """

    def __init__(self, found: Sequence[str] = (), paths: Callable[[], Sequence[str]] = list) -> None:
        super().__init__(found)
        self.paths = paths


def read_settings(
    cls: type[T], mapping: Mapping[Any, Any], path: str = "", owner: str | None = None, found_before: Sequence[str] = ()
) -> T:
    """Make a frozen dataclass from a mapping of the same keys.

    Args:
        path: where the mapping stands in the recipe, for the errors.
        owner: what an unknown setting is "no such setting of"; the class's name unless given.
        found_before: faults of the mapping that are known already, raised with the others.

    Raises:
        UserError: one line for each unknown key, missing value, wrong type and refused value.
    """
    prefix = f"{path}." if path else ""
    faults = Faults(found_before, lambda: [place.path for place in setting_places(cls, mapping, prefix)])
    result = _dataclass(cls, mapping, path, faults, owner or cls.__name__)
    if faults:
        raise UserError("\n".join(faults))
    return result


def _value(annotation: Any, value: Any, path: str, faults: Faults) -> Any:
    """Read one value as its annotation says; where it does not fit, add a fault and give _FAILED."""
    origin = get_origin(annotation)
    if isinstance(value, str) and value == MISSING:
        return _fault(faults, f"{path}: missing. Give it in the recipe or as {path}=VALUE")
    if origin is Choice:
        return _choice(get_args(annotation)[0], value, path, faults)
    if callable(getattr(annotation, "from_setting", None)):
        return _checked(lambda: annotation.from_setting(value), f"{path}: ", faults)
    if dataclasses.is_dataclass(annotation):
        return _dataclass(annotation, value, path, faults, annotation.__name__)  # pyright: ignore[reportAttributeAccessIssue]
    if origin in (Union, UnionType):
        return _union(get_args(annotation), value, path, faults)
    if origin is Literal:
        return _literal(get_args(annotation), value, path, faults)
    if origin is tuple:
        return _tuple(get_args(annotation), value, path, faults)
    if origin is dict:
        return _dict(get_args(annotation)[1], value, path, faults)
    return _scalar(annotation, value, path, faults)


def _dataclass(cls: Any, value: Any, path: str, faults: Faults, owner: str) -> Any:
    if not isinstance(value, Mapping):
        return _fault(faults, f"{path}: expected a mapping with the settings of {owner}, got {value!r}")
    annotations = type_hints(cls)
    fields = {field.name: field for field in own_settings(cls)}
    n_before = len(faults)
    for key in value:
        if key not in fields:
            moved = getattr(cls, "MOVED", {}).get(key)
            hint = f"Say {moved} instead." if moved else advice(str(key), list(fields), faults.paths())
            faults.append(f"{_join(path, key)}: no such setting of {owner}. {hint}")
    read: dict[str, Any] = {}
    for name, field in fields.items():
        here, n_sound, default = _join(path, name), len(faults), _default(field)
        if name in value:
            read[name] = _value(annotations[name], value[name], here, faults)
        elif default is _FAILED:
            faults.append(f"{here}: missing. Give it in the recipe or as {here}=VALUE")
        if name not in value or len(faults) > n_sound:
            read[name] = default
    return _made(cls, read, f"{path}." if path else "", faults, is_sound=len(faults) == n_before)


def _default(field: dataclasses.Field[Any]) -> Any:
    """A field's default, or _FAILED where it has none."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return _FAILED if field.default is dataclasses.MISSING else field.default


def _made(cls: Any, read: Mapping[str, Any], prefix: str, faults: Faults, is_sound: bool) -> Any:
    """The dataclass, or _FAILED and all that its checks say.

    Args:
        is_sound: whether nothing is wrong yet. Else the checks run on what can be read, for what they have to say of
            it: a faulty setting has its default there, and is absent where it has none.
    """
    with gathering() as gathered:
        try:
            made = cls(**read) if is_sound else _checks_alone(cls, read)
        except Exception as error:
            # A check that needs an absent value, or another check to hold: the error names the first fault.
            if is_sound and not gathered:
                if not isinstance(error, UserError | ValueError):
                    raise
                gathered.append(str(error))
    faults.extend(f"{prefix}{text}" for text in gathered)
    return made if is_sound and not gathered else _FAILED


def _checks_alone(cls: Any, read: Mapping[str, Any]) -> None:
    partial = object.__new__(cls)
    for name, value in read.items():
        if value is not _FAILED:
            object.__setattr__(partial, name, value)
    getattr(partial, "__post_init__", lambda: None)()


def _choice(promise: type[Part], value: Any, path: str, faults: Faults) -> Any:
    kind = promise.kind
    if not isinstance(value, Mapping) or "type" not in value:
        given = "no type" if isinstance(value, Mapping) else repr(value)
        valid = ", ".join(names(kind, promise))
        return _fault(faults, f"{path}: expected a mapping with the type of a {kind}, got {given}. Valid: {valid}.")
    part = _checked(lambda: find(kind, str(value["type"])), f"{path}.type: ", faults)
    if part is _FAILED:
        return _FAILED
    if not issubclass(part, promise):
        valid = ", ".join(names(kind, promise))
        return _fault(faults, f"{path}.type: '{part.part_name}' is no {promise.__name__}. Valid: {valid}.")
    rest = {key: item for key, item in value.items() if key != "type"}
    config = _dataclass(part.Config, rest, path, faults, part.__name__)
    return config if config is _FAILED else Choice(part, config, path)


def _union(options: Sequence[Any], value: Any, path: str, faults: Faults) -> Any:
    if value is None and NoneType in options:
        return None
    parts = [names(get_args(option)[0].kind) for option in options if get_origin(option) is Choice]
    is_part = "type" in value if isinstance(value, Mapping) else any(value in valid for valid in parts)
    options = [option for option in options if option is not NoneType]
    options = [option for option in options if (get_origin(option) is Choice) == is_part] or options
    for option in options[:-1]:
        attempt = Faults(paths=faults.paths)
        result = _value(option, value, path, attempt)
        if not attempt:
            return result
    return _value(options[-1], value, path, faults)


def _literal(words: Sequence[Any], value: Any, path: str, faults: Faults) -> Any:
    if value in words and type(value) in {type(word) for word in words}:
        return value
    return _fault(faults, f"{path}: '{value}' is not valid. {did_you_mean(str(value), map(str, words))}")


def _tuple(annotations: Sequence[Any], value: Any, path: str, faults: Faults) -> Any:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return _fault(faults, f"{path}: expected a list, got {value!r}")
    if annotations[-1] is Ellipsis:
        annotations = (annotations[0],) * len(value)
    if len(value) != len(annotations):
        return _fault(faults, f"{path}: expected a list of {len(annotations)} values, got {len(value)}")
    items = zip(annotations, value, strict=True)
    return tuple(_value(annotation, item, f"{path}.{i}", faults) for i, (annotation, item) in enumerate(items))


def _dict(annotation: Any, value: Any, path: str, faults: Faults) -> Any:
    if not isinstance(value, Mapping):
        return _fault(faults, f"{path}: expected a mapping, got {value!r}")
    return {str(key): _value(annotation, item, _join(path, key), faults) for key, item in value.items()}


def _scalar(annotation: Any, value: Any, path: str, faults: Faults) -> Any:
    if annotation not in _SCALARS:
        raise TypeError(f"{path}: core/settings.py cannot read a setting annotated with {annotation}")
    expected, accepted, made = _SCALARS[annotation]
    # True is an int for Python; a recipe that says `n_levels: true` is wrong all the same.
    if not isinstance(value, accepted) or (isinstance(value, bool) and annotation is not bool):
        return _fault(faults, f"{path}: expected {expected}, got {value!r}")
    if isinstance(value, str):
        if "\0" in value:
            return _fault(faults, f"{path}: a NUL character, which no file's name can hold")
    elif annotation is int and abs(value) > _LARGEST:
        return _fault(faults, f"{path}: an integer of at most 16 digits, got more")
    elif annotation is float and not abs(value) <= sys.float_info.max:
        return _fault(faults, f"{path}: expected a finite number, got {'a larger one' if value == value else 'NaN'}")
    return made(value)


def _checked(make: Any, prefix: str, faults: Faults) -> Any:
    """Call a constructor that may refuse its values, and put the path in front of what it says."""
    try:
        return make()
    except (UserError, ValueError) as error:
        return _fault(faults, f"{prefix}{error}")


def _fault(faults: list[str], text: str) -> object:
    faults.append(text)
    return _FAILED


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)
