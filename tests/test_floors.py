"""Imports only point down, and the ground floor stays light."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = {"geometry", "guidance", "renderers"}
MAY_IMPORT = {
    "core": {"core"},
    "geometry": {"core", "geometry"},
    "guidance": {"core", "guidance"},
    "renderers": {"core", "renderers"},
    "toybox": {"toybox"},
    "systems": {"core", "systems", *PARTS},
    "exporters": {"core", "systems", "exporters", *PARTS},
    "app": {"core", "systems", "exporters", "toybox", "app", *PARTS},
}
OURS = {*MAY_IMPORT, "launch", "benchmarks", "sketches", "tests", "examples"}


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide which floor they reach"
            yield (node.module or "").split(".")[0]


@pytest.mark.parametrize("floor", sorted(MAY_IMPORT))
def test_imports_only_point_down(floor: str) -> None:
    files = sorted((ROOT / floor).glob("**/*.py"))
    assert files, f"{floor}/ holds no Python file"
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files
        for name in imported(ast.parse(path.read_text(encoding="utf-8")))
        if name in OURS and name not in MAY_IMPORT[floor]
    }
    assert wrong == set()


def modules_after(code: str) -> set[str]:
    """Top-level packages that a fresh Python has loaded after running the code."""
    probe = f"import sys\n{code}\nprint(' '.join({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_core_needs_torch_jaxtyping_and_omegaconf_only() -> None:
    core = " ".join(f"import core.{path.stem};" for path in sorted((ROOT / "core").glob("[a-z]*.py")))
    loaded = modules_after(core)
    heavy = {"lightning", "diffusers", "transformers", "trimesh", "scipy", "PIL", "imageio", "beartype", "xatlas"}
    assert {"torch", "jaxtyping", "omegaconf"} <= loaded
    assert loaded & heavy == set()


def test_reading_the_command_line_does_not_import_torch() -> None:
    loaded = modules_after("from app.options import parse; parse(['--config', 'a.yaml', '--prompt', 'x'])")
    assert "app" in loaded
    assert loaded & {"torch", "numpy", "omegaconf", "lightning"} == set()


def test_launch_stays_a_doorstep() -> None:
    assert len((ROOT / "launch.py").read_text().splitlines()) < 30
