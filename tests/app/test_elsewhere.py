"""Commands in other folders than the project's, each a process of its own: a path means the same from everywhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.known_ball import write_ball_views
from tests.systems.small_paint import write_ball

ROOT = Path(__file__).parents[2]


def launch(folder: Path, *words: str) -> str:
    """What a command says that is given in a folder, and that succeeds."""
    command = [sys.executable, str(ROOT / "launch.py"), *words, "--device", "cpu"]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=one_thread)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Where a ball was painted, everything named from there; and another one, with nothing in it."""
    home, elsewhere = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("elsewhere")
    (home / "meshes").mkdir()
    write_ball(home / "meshes" / "ball.ply")
    write_ball_views(home / "views")
    settings = [
        "system.geometry.path=meshes/ball.ply",
        "system.geometry.texture_size=32",
        "system.guidance.type=target-image",
        "system.guidance.folder=views",
        "system.guidance.size=16",
        "system.views.type=posed-pictures",
        "system.latent_size=null",
        "system.background.type=solid",
        "trainer.max_steps=2",
        "trainer.preview_every=0",
        "exporters=[{type: contact-sheet}]",
    ]
    recipe = os.path.relpath(ROOT / "configs" / "latent-paint.yaml", home)
    launch(home, "--config", recipe, "--prompt", "a red ball", *settings)
    return home, elsewhere


def the_run(home: Path) -> Path:
    (run,) = (home / "runs").iterdir()
    return run


def test_shipped_recipes_find_their_sketches_from_anywhere(tmp_path: Path):
    said = launch(tmp_path, "--config", str(ROOT / "configs" / "sketch-shape-strict.yaml"), "--show-recipe")
    figure = ROOT / "sketches" / "figure.obj"
    assert f"path: {figure}\n" in said
    assert figure.is_file()


def test_a_run_reads_its_own_copies(folders: tuple[Path, Path]):
    home, _ = folders
    run = the_run(home)
    assert "path: inputs/system.geometry.path/ball.ply\n" in (run / "recipe.yaml").read_text()
    assert str(home) not in (run / "recipe.yaml").read_text()
    copy = run / "inputs" / "system.geometry.path" / "ball.ply"
    assert copy.read_bytes() == (home / "meshes" / "ball.ply").read_bytes()
    names = {path.name for path in (run / "inputs" / "system.guidance.folder" / "views").iterdir()}
    assert names == {path.name for path in (home / "views").iterdir()}


def test_a_run_is_exported_and_resumed_from_elsewhere(folders: tuple[Path, Path]):
    home, elsewhere = folders
    run = the_run(home)
    (run / "contact_sheet.png").unlink()
    launch(elsewhere, "--export", os.path.relpath(run, elsewhere))
    assert (run / "contact_sheet.png").is_file()
    said = launch(elsewhere, "--resume", str(run), "trainer.max_steps=3")
    assert f"Going on in {run}" in said
    assert "max_steps: 3" in (run / "recipe.yaml").read_text()
    assert list(elsewhere.iterdir()) == []


def test_a_stage_begins_with_a_run_of_elsewhere(folders: tuple[Path, Path]):
    home, elsewhere = folders
    run = the_run(home)
    said = launch(
        elsewhere, "--config", str(run / "recipe.yaml"), "--from", os.path.relpath(run, elsewhere), "--dry-run"
    )
    assert "Everything fits." in said
    assert list(elsewhere.iterdir()) == []
