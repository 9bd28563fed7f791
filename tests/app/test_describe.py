"""What --describe says is what the Configs say; and every setting of every part is documented."""

from dataclasses import dataclass, field
from typing import Literal

import pytest

from app.describe import described, field_docs, list_parts, settings_of
from app.parts import register_parts
from core.errors import UserError
from core.kinds import DensityField, Exporter, Views
from core.part import Choice, find, kinds, names
from core.recipe import Recipe, read_recipe
from core.schedule import Schedule
from core.setting_paths import plain, setting_places
from tests.app.small_command import ROOT


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
    ramp: Schedule = field(default_factory=lambda: Schedule(((0.0, 1.0), (1.0, 0.5))))
    more: tuple[Inner | str, ...] = ()
    writers: tuple[Choice[Exporter], ...] = ()
    seen_by: Choice[Views] | None = None
    words: dict[str, str] = field(default_factory=dict)
    text: str = ""


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
    assert rows["ramp"].default == "{start: 1.0, end: 0.5, from: 0.0, to: 1.0, shape: linear}"
    assert (rows["more"].accepts, rows["more.N.depth"].accepts) == ("a list of mappings or texts", "a number")
    assert rows["writers"].accepts.startswith("a list of exporters (contact-sheet, ")
    assert rows["seen_by"].accepts.startswith("views (multi-view, ")
    assert (rows["words"].accepts, rows["words"].default) == ("a mapping of names to texts", "{}")
    assert rows["text"].default == "''"


def test_inherited_settings_keep_their_documentation() -> None:
    @dataclass(frozen=True)
    class Wider(Inner):
        """More of it."""

        width: int = 1
        """How wide."""

    assert field_docs(Wider) == {"depth": "How deep.", "width": "How wide."}


def test_every_part_documents_itself_and_all_its_settings() -> None:
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
    text = described("hash-grid")
    assert "latent_field.py" in text.splitlines()[0]
    assert "\nsettings:\n" in text


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("trainer", "max_steps: an integer, default 1000"),
        ("TrainerConfig", "max_steps: an integer, default 1000"),
        ("cameras", "no setting any more. Say views: {type: orbit"),
        ("cameras", "multi-view         As many views"),
        ("optimizer", "betas: [a number, a number], default [0.9, 0.99]"),
        ("system.geometry.placement", "scale: none or a number, default 0.7"),
        ("max_steps", "of a recipe:\n  trainer.max_steps: an integer"),
        ("system.guidance.guidance_scale", "of latent-sds"),
        ("guidance", "latent-sds"),
    ],
)
def test_settings_kinds_and_configs_are_described_too(name: str, said: str) -> None:
    register_parts()
    assert said in described(name)


@pytest.mark.parametrize("name", ["cameras", "view_guidance_scale", "of"])
def test_an_old_setting_is_answered_with_the_new_one_of_its_kind_alone(name: str) -> None:
    register_parts()
    text = described(name)
    assert text.startswith(f"{name}: no setting any more. Say ")
    assert "Prompts of their own" not in text


def test_lines_of_the_list_end_with_a_sentence() -> None:
    register_parts()
    blocks = [list_parts(kind) for kind in kinds() if not kind.startswith("test-")]
    assert [line for block in blocks for line in block.splitlines()[1:] if not line.endswith(".")] == []


def test_every_config_of_a_recipe_is_described_by_name() -> None:
    register_parts()
    recipe = read_recipe(ROOT / "configs" / "latent-paint.yaml", ["system.geometry.path=car.glb"])
    configs = {place.config for place in setting_places(Recipe, plain(recipe))}
    named = [config.__name__ for config in configs if config.__name__ != "Config"]  # a part's own goes by its name
    assert {"TrainerConfig", "Placement", "AdamSettings"} <= set(named)
    for name in named:
        assert described(name).startswith(f"{name}\n"), name


def test_a_name_of_nothing_is_answered_with_the_nearest() -> None:
    register_parts()
    with pytest.raises(UserError, match=r"no part, kind or setting is called 'trainr'\. Did you mean 'trainer'\?"):
        described("trainr")
