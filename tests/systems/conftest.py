"""Tiny models are written once per session."""

from collections.abc import Callable
from pathlib import Path

import pytest

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
