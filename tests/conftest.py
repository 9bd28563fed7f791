"""Shape and type checks are on in every test: jaxtyping's hook must be in place before our packages are imported."""

import copy

import pytest
from jaxtyping import install_import_hook

# toybox/ is left out: it states no tensor shapes in types, and beartype takes no int for a float
install_import_hook(["core", "geometry", "guidance", "renderers", "systems", "exporters", "app"], "beartype.beartype")


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that a test defines are forgotten after it."""
    from core.part import Part

    monkeypatch.setattr(Part, "_registry", copy.deepcopy(Part._registry))
