"""Shape and type checks are on in every test: jaxtyping's hook must be in place before our packages are imported."""

import copy
from collections.abc import Iterator

import pytest
from jaxtyping import install_import_hook

from tests.reliability import pytest_addoption, pytest_collection_modifyitems, pytest_configure  # noqa: F401

# toybox/ is left out: it states no tensor shapes in types, and beartype takes no int for a float
install_import_hook(["core", "geometry", "guidance", "renderers", "systems", "exporters", "app"], "beartype.beartype")


@pytest.fixture(scope="session", autouse=True)
def own_cache_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is cached or remembered in tests is forgotten with them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that a test defines are forgotten after it."""
    from core.part import Part

    monkeypatch.setattr(Part, "_registry", copy.deepcopy(Part._registry))
