"""Kinds and parts: a kind promises, a part keeps, and a recipe chooses parts by name.

A *kind* is an abstract class that opens a registry. A *part* is a subclass that gives itself a name and thereby
registers:

    class Geometry(Part, nn.Module, kind="geometry"): ...
    class DensityField(Geometry): ...                            # no name: abstract, a narrower promise within the kind

    class HashGridField(DensityField, name="hash-grid"):
        '''A multi-resolution hash grid.'''                      # shown by --list and --describe

        @dataclass(frozen=True)
        class Config:
            n_levels: int = 16
            '''Number of resolutions.'''                         # shown by --describe

        def __init__(self, config: Config, n_channels: int) -> None: ...

A Config may hold parts: `geometry: Choice[DensityField]`. In a recipe that is a mapping whose `type` is the part's name
and whose other keys are its settings; after reading, it is the part's class with its checked Config, not built yet:

    geometry: {type: hash-grid, n_levels: 8}      ->      config.geometry.build(n_channels)

What `build` takes beside the Config is said by the kind (core/kinds/).
"""

import inspect
import re
from abc import ABC
from collections.abc import Iterator, Sequence
from dataclasses import Field, dataclass, field, fields, is_dataclass
from functools import cache
from typing import Any, ClassVar, Generic, TypeVar, get_type_hints

from core.errors import UserError, did_you_mean

#: Metadata of a dataclass's field that no recipe can say.
NO_SETTING = {"is_setting": False}
KEBAB_CASE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class Part(ABC):
    """Anything that a recipe can name. Subclass a kind (core/kinds/) rather than this class."""

    kind: ClassVar[str]
    """The registry that this class belongs to, such as "geometry"."""
    part_name: ClassVar[str]
    """The name that recipes call this part by, such as "hash-grid"."""
    Config: ClassVar[type]
    """The part's settings: a nested frozen dataclass."""
    recipe_path: str = ""
    """Where the recipe holds this part, such as "system.guidance.inner"; empty for a part that code has made."""
    _registry: ClassVar[dict[str, dict[str, type["Part"]]]] = {}
    _replaced: ClassVar[dict[tuple[str, str], str]] = {}

    def __init_subclass__(
        cls, *, kind: str | None = None, name: str | None = None, replaces: Sequence[str] = (), **rest: Any
    ) -> None:
        super().__init_subclass__(**rest)
        if kind is not None:
            cls.kind = kind
            Part._registry.setdefault(kind, {})
        if name is not None:
            cls._register(name)
            Part._replaced.update({(cls.kind, old): name for old in replaces})

    @classmethod
    def _register(cls, name: str) -> None:
        here = f"{cls.__qualname__} ({_place(cls)})"
        parts = Part._registry.get(getattr(cls, "kind", ""))
        if parts is None:
            raise TypeError(f"{here}: a part subclasses a kind of core/kinds/, this class does not")
        if not KEBAB_CASE.fullmatch(name):
            raise TypeError(f"{here}: the name '{name}' is not kebab-case (words of a-z and 0-9 joined by '-')")
        if name in parts:
            there = parts[name]
            raise TypeError(
                f"{here}: the name '{name}' of kind '{cls.kind}' is taken by {there.__qualname__} ({_place(there)})"
            )
        config: Any = getattr(cls, "Config", None)
        params = getattr(config, "__dataclass_params__", None)
        if params is None or not params.frozen:
            raise TypeError(f"{here}: a part needs a nested class Config decorated with @dataclass(frozen=True)")
        promised: type = getattr(next(base for base in cls.__mro__ if "kind" in base.__dict__), "Config", object)
        if not issubclass(config, promised):
            raise TypeError(f"{here}: a Config of a {cls.kind} subclasses {promised.__qualname__}")
        cls.part_name = name
        parts[name] = cls

    @classmethod  # noqa: B027 - most parts read no files
    def check_files(cls, config: Any) -> None:
        """Refuse files that the settings name and that cannot be used; asked before anything is built.

        Raises:
            UserError: naming the file and what is wrong with it.
        """

    def take_less_memory(self) -> bool:
        """From now on, take less memory for a training step, and more time; whether that could be done.

        Called where memory has run out, before the same step is tried once more.
        """
        return False

    def setting(self, name: str) -> str:
        """The full path of one of the part's settings in the recipe, for advice that can be followed as it stands."""
        return f"{self.recipe_path}.{name}" if self.recipe_path else name

    def wrong_result(self, given: Any, wanted: str) -> UserError:
        """The error for a part that broke its kind's promise: which part, in which file, and what it is to give.

        Args:
            wanted: such as "forward: GuidanceOutput".
        """
        shape = getattr(given, "shape", None)
        shown = f"a {type(given).__name__}" if shape is None else f"a tensor of shape {tuple(shape)}"
        method, _, right = wanted.partition(": ")
        return UserError(
            f"{_place(type(self))}: {method} of the {self.kind} '{self.part_name}' gave {shown}, not {right}"
        )


PartT = TypeVar("PartT", bound=Part)


@dataclass(frozen=True)
class Choice(Generic[PartT]):
    """A part that a recipe has chosen: its class and its checked settings, not built yet."""

    part: type[PartT]
    config: Any
    path: str = field(default="", compare=False)
    """Where the recipe holds the choice."""

    @classmethod
    def of(cls, part: type[PartT], **settings: Any) -> "Choice[PartT]":
        """Choose a part in code, for defaults and tests; its Config checks the settings."""
        return cls(part, part.Config(**settings))

    def build(self, *context: Any) -> PartT:
        """Make the part. `context` is what its kind promises to every constructor, see core/kinds/."""
        made = self.part.__new__(self.part)
        made.recipe_path = self.path  # before the constructor, whose errors name settings
        made.__init__(self.config, *context)  # pyright: ignore[reportCallIssue]
        return made


@cache
def type_hints(cls: type) -> dict[str, Any]:
    """The annotations of a class; to work them out at each call would take most of reading a recipe."""
    return get_type_hints(cls, include_extras=True)


def own_settings(config: Any) -> list[Field[Any]]:
    """The fields of a dataclass that a recipe can say."""
    return [field for field in fields(config) if field.metadata != NO_SETTING]


def shared_settings(one: Any, other: Any) -> list[str]:
    """Names of the settings that two parts of a kind share with equal types; none where a part is unknown."""
    for kind in kinds():
        if one in names(kind) and other in names(kind):
            before, after = (find(kind, name).Config for name in (one, other))
            sorts = type_hints(before)
            return [each.name for each in own_settings(after) if type_hints(after)[each.name] == sorts.get(each.name)]
    return []


def choices_in(settings: Any) -> Iterator[Choice[Any]]:
    """All parts that are chosen in a frozen dataclass, or in what is nested in it."""
    if isinstance(settings, Choice):
        yield settings
        yield from choices_in(settings.config)
    elif is_dataclass(settings):
        for entry in fields(settings):
            yield from choices_in(getattr(settings, entry.name))
    elif isinstance(settings, dict | tuple):
        for item in settings.values() if isinstance(settings, dict) else settings:
            yield from choices_in(item)


def kinds() -> list[str]:
    """The names of all kinds."""
    return sorted(Part._registry)


def names(kind: str, narrowed_to: type[Part] = Part) -> list[str]:
    """The names of a kind's parts, where asked only of those that keep a narrower promise.

    Raises:
        UserError: no such kind.
    """
    return sorted(name for name, part in _parts(kind).items() if issubclass(part, narrowed_to))


def find(kind: str, name: str) -> type[Part]:
    """The part of a kind by its name.

    Raises:
        UserError: no such kind, or no such part; names the nearest one.
    """
    parts = _parts(kind)
    if name not in parts:
        new = Part._replaced.get((kind, name))
        advice = f"Say type: {new} instead." if new else did_you_mean(name, parts)
        raise UserError(f"no {kind} is called '{name}'. {advice}")
    return parts[name]


def _parts(kind: str) -> dict[str, type[Part]]:
    if kind not in Part._registry:
        raise UserError(f"'{kind}': no such kind of part. {did_you_mean(kind, Part._registry)}")
    return Part._registry[kind]


def _place(cls: type) -> str:
    """file:line of a class, or its module where Python cannot tell."""
    try:
        return f"{inspect.getsourcefile(cls)}:{inspect.getsourcelines(cls)[1]}"
    except (OSError, TypeError):
        return cls.__module__
