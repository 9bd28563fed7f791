"""Sizes that no memory can meet are refused while a recipe is read."""

from pathlib import Path
from typing import Any

import pytest

from app.describe import settings_of
from app.parts import register_parts
from core.errors import MachineError, UserError
from core.part import find, kinds, names
from core.recipe import read_recipe
from core.settings import read_settings
from tests.app.small_command import ROOT

#: Settings that a large number does no harm to: bounds of chunks, steps, a target for simplification.
HARMLESS = {"samples_per_chunk", "rays_per_chunk", "occupancy_warmup_steps", "occupancy_refresh_every", "max_faces"}
HARMLESS |= {"n_pictures"}  # of textual-inversion: what it needs beside is missed first
HARMLESS |= {"n_faces", "sample_stride", "square", "coarse_pixel", "n_latents", "preview"}


def integers() -> list[Any]:
    register_parts()
    found = []
    for kind in kinds():
        for name in names(kind):
            part = find(kind, name)
            if part.__module__.split(".")[0] in ("geometry", "guidance", "renderers", "systems", "exporters"):
                rows = [row.path for row in settings_of(part.Config) if "an integer" in row.accepts.split(" or ")]
                found += [pytest.param(part, row, id=f"{name}.{row}") for row in rows if row not in HARMLESS]
    return found


@pytest.mark.parametrize(("part", "setting"), integers())
@pytest.mark.parametrize("value", [10**9, 10**23])
def test_an_absurd_size_is_one_line(part: Any, setting: str, value: int):
    tree: Any = value
    for word in reversed(setting.split(".")):
        tree = {word: tree}
    with pytest.raises(UserError) as caught:
        read_settings(part.Config, tree, "x")
    assert setting in str(caught.value)


def test_a_recipe_says_how_much_there_is():
    with pytest.raises(UserError, match=r"samples_per_ray: 1000000000 would take 59\.6 TiB of memory, and"):
        read_recipe(ROOT / "configs" / "latent-nerf.yaml", ["system.renderer.samples_per_ray=1000000000"])


@pytest.mark.parametrize("steps", ["1e23", "100000000000000000000000", "9" * 400, ".inf", ".nan"])
def test_steps_without_end(steps: str):
    with pytest.raises(UserError, match=r"trainer\.max_steps: (expected an integer|an integer of at most 16 digits)"):
        read_recipe(ROOT / "configs" / "latent-nerf.yaml", [f"trainer.max_steps={steps}"])


def test_recipes_that_stand_for_more_than_they_say(tmp_path: Path):
    bomb = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 13))
    for text, said in (
        (bomb, "its aliases stand for more than 100,000 values"),
        ("a: " + "[" * 100 + "]" * 100, "nested more than 40 levels deep"),
        ("a: " + "[" * 10_000, "not a readable YAML file"),
        ("a: &a [*a]", "not a readable YAML file"),
        (f"seed: {'9' * 5000}", "not a readable YAML file"),
        ("extends: 3", "extends: expected a recipe file or a list of them, got 3"),
        ("extends: 0", "extends: expected a recipe file or a list of them, got 0"),
        ("a: ${a}", "r.yaml: "),
        ('extends: "a\\0b"', r"a NUL character in 'a\\x00b'"),
        ('"a\\0": 3', "a NUL character"),
    ):
        (tmp_path / "r.yaml").write_text(text)
        with pytest.raises(UserError, match=said) as caught:
            read_recipe(tmp_path / "r.yaml")
        assert "\n" not in str(caught.value)


def test_a_recipe_that_may_not_be_read_is_a_fault_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "r.yaml").write_text("system: {}")

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(MachineError, match=r"r\.yaml: cannot be read: Permission denied"):
        read_recipe(tmp_path / "r.yaml")
