"""Tiny models are written once per session."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guidance.published import FAMILIES
from tests.tiny_pipelines import Family, Layout, make_tiny_model


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function (family, layout) -> folder."""
    made: dict[tuple[str, str], Path] = {}

    def model(family: Family = "epsilon", layout: Layout = "sd") -> Path:
        if (family, layout) not in made:
            made[family, layout] = make_tiny_model(tmp_path_factory.mktemp(f"{layout}-{family}"), family, layout)
        return made[family, layout]

    return model


@pytest.fixture(scope="session")
def family_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Layout, Path]]:
    """A function: name of a family -> layout and folder."""
    made: dict[str, Path] = {}

    def model(name: str) -> tuple[Layout, Path]:
        layout, settings = FAMILIES[name]
        if name not in made:
            made[name] = make_tiny_model(tmp_path_factory.mktemp(name), layout=layout, **settings)
        return layout, made[name]

    return model
