"""Plugins are programs: a stranger's run nobody has looked at does not run its own."""

import os
import py_compile
import sys
from pathlib import Path

import pytest

from core.errors import UserError
from core.plugins import is_foreign, load_plugin, require_trust
from core.recipe import read_recipe


@pytest.fixture(autouse=True)
def own_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "latent-nerf" / "trusted-plugins.txt"


def plugin(folder: Path, mark: str = "ran") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "evil.py"
    path.write_text(f"open({str(folder / mark)!r}, 'w').close()\n")
    return path


def run_of_a_stranger(folder: Path) -> Path:
    plugin(folder)
    (folder / "checkpoints").mkdir()
    recipe = folder / "recipe.yaml"
    recipe.write_text("plugins: [evil.py]\nsystem: {}\n")
    return recipe


def test_a_run_of_a_stranger_runs_nothing(tmp_path: Path):
    recipe = run_of_a_stranger(tmp_path / "run")
    evil = tmp_path / "run" / "evil.py"
    with pytest.raises(UserError, match=rf"^{recipe}: would run .* not trusted here yet: {evil} \(sha256 \w{{12}}\)"):
        read_recipe(recipe)
    child = tmp_path / "child.yaml"
    child.write_text(f"extends: {recipe}\n")
    with pytest.raises(UserError, match="not trusted here yet"):
        read_recipe(child)
    assert not (tmp_path / "run" / "ran").exists()


def test_trust_is_given_once(tmp_path: Path, own_list: Path):
    recipe = run_of_a_stranger(tmp_path / "run")
    for _ in range(2):
        with pytest.raises(UserError, match=r"system: .*type"):  # the next fault of that recipe
            read_recipe(recipe, trust=True)
    assert (tmp_path / "run" / "ran").exists()
    assert own_list.read_text().count("evil.py") == 1
    with pytest.raises(UserError, match=r"system: .*type"):
        read_recipe(recipe)
    (tmp_path / "run" / "evil.py").write_text("changed = True\n")
    with pytest.raises(UserError, match="not trusted here yet"):
        read_recipe(recipe)


def test_naming_it_on_the_command_line_is_trust(tmp_path: Path):
    recipe = run_of_a_stranger(tmp_path / "run")
    with pytest.raises(UserError, match=r"system: .*type"):
        read_recipe(recipe, plugins=[tmp_path / "run" / "evil.py"])


def test_a_recipe_of_ones_own_needs_none(tmp_path: Path):
    plugin(tmp_path)
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("plugins: [evil.py]\nsystem: {}\n")
    assert not is_foreign(recipe)
    with pytest.raises(UserError, match=r"system: .*type"):
        read_recipe(recipe)
    assert (tmp_path / "ran").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files to another user")
def test_a_recipe_of_another_user_needs_it(tmp_path: Path):
    plugin(tmp_path)
    recipe = tmp_path / "theirs.yaml"
    recipe.write_text("plugins: [evil.py]\nsystem: {}\n")
    os.chown(recipe, 12345, 12345)
    assert is_foreign(recipe)
    with pytest.raises(UserError, match="not trusted here yet"):
        read_recipe(recipe)
    assert not (tmp_path / "ran").exists()


def test_a_planted_compiled_file_is_not_what_runs(tmp_path: Path):
    """Python would take __pycache__/evil.pyc where size and time are those of evil.py."""
    path = plugin(tmp_path, "bad")
    py_compile.compile(str(path), doraise=True)
    before = path.stat()
    path.write_text(path.read_text().replace("bad", "fit"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    load_plugin(path)
    assert (tmp_path / "fit").exists()
    assert not (tmp_path / "bad").exists()


def test_without_a_home_nothing_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/none")
    path = plugin(tmp_path)
    load_plugin(path)
    copy = tmp_path / "copy.py"
    copy.write_bytes(path.read_bytes())
    with pytest.raises(UserError, match="not trusted here yet"):
        require_trust([copy], tmp_path / "recipe.yaml")
    require_trust([path], tmp_path / "recipe.yaml")  # as a second stage does: it has run, and is not run again
    assert any(name.startswith("plugin_evil_") for name in sys.modules)
