"""What --describe says is what the Configs say; and every setting of every part is documented."""

from dataclasses import dataclass, field
from typing import Literal

import pytest

from app.describe import describe_part, field_docs, list_parts, settings_of
from app.parts import register_parts
from core.kinds import DensityField
from core.part import Choice, find, kinds, names
from core.schedule import Schedule


@dataclass(frozen=True)
class Inner:
    """Nested."""

    depth: float = 0.5
    """How deep."""


@dataclass(frozen=True)
class Outer:
    """One setting of each sort."""

    field_of: Choice[DensityField]
    """What is
    rendered."""
    mode: Literal["a", "b"] = "a"
    """How."""
    weight: Schedule = Schedule.constant(2.0)
    """How much."""
    inner: Inner = field(default_factory=Inner)
    """More."""
    limit: tuple[float, float] | None = None
    undocumented: bool = True


def test_settings_in_words() -> None:
    register_parts()
    rows = {row.path: row for row in settings_of(Outer)}
    assert rows["field_of"].accepts.startswith("a geometry (hash-grid")
    assert rows["field_of"].default is None
    assert rows["field_of"].meaning == "What is rendered."
    assert (rows["mode"].accepts, rows["mode"].default) == ("a | b", "a")
    schedule = "a number or a schedule {start, end, from, to, shape} or {points, shape}"
    assert (rows["weight"].accepts, rows["weight"].default) == (schedule, "2.0")
    assert (rows["inner.depth"].default, rows["inner.depth"].meaning) == ("0.5", "How deep.")
    assert (rows["limit"].accepts, rows["limit"].default) == ("[a number, a number] or null", "null")
    assert (rows["undocumented"].default, rows["undocumented"].meaning) == ("true", "")


def test_inherited_settings_keep_their_documentation() -> None:
    @dataclass(frozen=True)
    class Wider(Inner):
        """More of it."""

        width: int = 1
        """How wide."""

    assert field_docs(Wider) == {"depth": "How deep.", "width": "How wide."}


def test_every_part_of_the_house_documents_itself_and_all_its_settings() -> None:
    register_parts()
    parts = [find(kind, name) for kind in kinds() if not kind.startswith("test-") for name in names(kind)]
    assert parts
    silent = [f"{part.part_name}.{row.path}" for part in parts for row in settings_of(part.Config) if not row.meaning]
    assert silent == []
    assert [part.part_name for part in parts if not part.__doc__] == []


@pytest.mark.parametrize("kind", ["geometry", "background", "renderer", "guidance", "system", "exporter"])
def test_every_kind_is_listed_with_its_parts(kind: str) -> None:
    register_parts()
    text = list_parts(kind)
    assert text.startswith(f"{kind}:\n")
    assert [line.split()[0] for line in text.splitlines()[1:]] == names(kind)


def test_describing_names_the_file_and_the_settings() -> None:
    register_parts()
    text = describe_part("hash-grid")
    assert "latent_field.py" in text.splitlines()[0]
    assert "\nsettings:\n" in text
