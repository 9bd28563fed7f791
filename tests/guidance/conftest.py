"""Tiny models are written once per session."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.guidance.published import FAMILIES
from tests.tiny_pipelines import Family, Layout, make_tiny_model


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function (family, layout, what else `make_tiny_model` takes) -> folder."""
    made: dict[str, Path] = {}

    def model(family: Family = "epsilon", layout: Layout = "sd", **more: Any) -> Path:
        key = repr((family, layout, more))
        if key not in made:
            folder = tmp_path_factory.mktemp(f"{layout}-{family}")
            made[key] = make_tiny_model(folder, family, layout, **more)
        return made[key]

    return model


@pytest.fixture(scope="session")
def family_model(tiny_model: Callable[..., Path]) -> Callable[[str], tuple[Layout, Path]]:
    """A function: name in FAMILIES -> layout and folder."""

    def model(name: str) -> tuple[Layout, Path]:
        layout, settings = FAMILIES[name]
        return layout, tiny_model(layout=layout, **settings)

    return model
