"""Painting and going on from another run, as commands: exact pictures of a ball, no network of any kind."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image

from app.cli import main
from app.parts import register_parts
from core.recipe import read_recipe
from tests.known_ball import write_ball_views
from tests.systems.small_paint import write_ball

ROOT = Path(__file__).parents[2]


class Workshop:
    """A folder with a ball, pictures of what it should look like, and the commands around them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ball = write_ball(folder / "ball.obj")
        self.pictures = write_ball_views(folder / "views")

    def command(self, recipe: str, out: str, guidance: str, *more: str) -> list[str]:
        """A command that trains three steps on the pictures, with `guidance` as the key of what sees them."""
        settings = {
            f"{guidance}.type": "target-image",
            f"{guidance}.folder": self.pictures,
            f"{guidance}.size": 16,
            "system.views.type": "posed-pictures",
            "system.latent_size": "null",
            "system.background.type": "solid",
            "system.geometry.path": self.ball,
            "system.geometry.placement.scale": 0.4,
            "trainer.max_steps": 3,
            "trainer.preview_every": 0,
        }
        overrides = [f"{key}={value}" for key, value in settings.items()]
        config = ["--config", str(ROOT / "configs" / recipe), "--out", str(self.folder / out), "--device", "cpu"]
        return [*config, *overrides, *more]

    def run(self, out: str) -> Path:
        """The one run in a folder."""
        (run,) = (path for path in (self.folder / out).iterdir() if path.is_dir())
        return run


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """With a painting in it."""
    made = Workshop(tmp_path_factory.mktemp("paint"))
    sizes = ("system.geometry.texture_size=32", "system.geometry.learning_rate=0.1", "trainer.max_steps=40")
    command = made.command("latent-paint.yaml", "painted", "system.guidance", *sizes, "--prompt", "a red ball")
    assert main(command) == 0
    return made


def mean_colour(run: Path) -> np.ndarray:
    """Of what the run's mesh shows, at the middle of each face, RGB in [0, 1]."""
    mesh: Any = trimesh.load(run / "mesh.obj", process=False, force="mesh")
    picture = np.asarray(Image.open(run / "mesh.png").convert("RGB")) / 255
    uv = np.asarray(mesh.visual.uv)[mesh.faces].mean(axis=1)
    n = len(picture)
    return picture[((1 - uv[:, 1]) * n).astype(int), (uv[:, 0] * n).astype(int)].mean(axis=0)


def test_one_command_paints_a_mesh_and_gives_it_back(workshop: Workshop):
    run = workshop.run("painted")
    assert {"mesh.obj", "mesh.mtl", "mesh.png", "contact_sheet.png", "turntable.mp4"} <= {p.name for p in run.iterdir()}
    assert np.abs(mean_colour(run) - np.array([220, 30, 30]) / 255).max() < 0.2
    figures = json.loads((run / "export.json").read_text())["painted-mesh"]["figures"]
    assert (figures["file"], figures["faces"], figures["own_uv"]) == ("mesh.obj", 1280, False)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("latent-nerf", "latent-nerf-rgb"),
        ("sketch-shape", "latent-nerf-rgb"),
        ("shape-completion", "latent-nerf-rgb"),
        ("latent-nerf-sd", "latent-nerf-rgb-sd"),
    ],
)
def test_the_second_recipe_takes_the_field_of_the_first(first: str, second: str):
    register_parts()
    theirs, mine = (read_recipe(ROOT / "configs" / f"{name}.yaml").system.config.geometry for name in (first, second))
    mine.config.inner.build(4).start_from(theirs.build(4))  # raises where they differ


def test_a_second_stage_goes_on_from_the_first(workshop: Workshop, capsys: pytest.CaptureFixture[str]):
    painted = workshop.run("painted")
    more = ("system.geometry.texture_size=64", "--from", str(painted))
    command = workshop.command("latent-paint-rgb.yaml", "refined", "system.guidance.inner", *more)
    assert main([*command, "--dry-run"]) == 0
    assert "prompt: 'a red ball'" in capsys.readouterr().out, "the run's prompt is kept"
    assert main(command) == 0
    refined = workshop.run("refined")
    assert (refined / "prompt.txt").read_text() == "a red ball"
    assert str(painted) in (refined / "recipe.yaml").read_text()
    assert np.abs(mean_colour(refined) - mean_colour(painted)).max() < 0.1
    with Image.open(refined / "mesh.png") as picture:
        assert picture.size == (64, 64)
    (refined / "mesh.obj").unlink()
    assert main(["--export", str(refined), "--device", "cpu"]) == 0
    assert (refined / "mesh.obj").is_file()


def test_a_second_coat_begins_with_the_first_texture(workshop: Workshop):
    """The same recipe with another prompt: the latents themselves are taken over, and one small step is made."""
    small = ("system.geometry.texture_size=32", "trainer.max_steps=1", "system.optimizer.rate=0.01")
    more = (*small, "--from", str(workshop.run("painted")))
    command = workshop.command("latent-paint.yaml", "second", "system.guidance", *more, "--prompt", "a ball")
    assert main(command) == 0
    assert np.abs(mean_colour(workshop.run("second")) - mean_colour(workshop.run("painted"))).max() < 0.02


@pytest.mark.parametrize(
    ("recipe", "more", "complaint"),
    [
        ("latent-paint-rgb.yaml", ["system.geometry.placement.scale=0.3"], "that run has painted another mesh"),
        ("latent-nerf-rgb.yaml", [], "it has trained a 'textured-mesh', not a 'hash-grid'"),
        ("latent-nerf-single-view.yaml", [], "--from: 'latent-nerf' begins with nothing; leave --from out"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(
    workshop: Workshop, capsys: pytest.CaptureFixture[str], recipe: str, more: list[str], complaint: str
):
    key = "system.guidance.inner" if "rgb" in recipe else "system.guidance"
    command = workshop.command(recipe, "refused", key, *more, "--from", str(workshop.run("painted")))
    if "nerf" in recipe:
        command = [word for word in command if not word.startswith("system.geometry.")]
    assert main([*command, "--prompt", "a ball"]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert complaint in said[-1]
    assert not (workshop.folder / "refused").exists()


def test_a_stage_that_needs_a_run_says_so(workshop: Workshop, capsys: pytest.CaptureFixture[str]):
    command = workshop.command("latent-nerf-rgb.yaml", "refused", "system.guidance.inner", "--prompt", "a ball")
    command = [word for word in command if not word.startswith("system.geometry.")]
    assert main(command) == 2
    assert "--from is missing: 'latent-nerf-rgb' goes on from a run; give --from RUN" in capsys.readouterr().err
    assert main([*command, "--from", str(workshop.folder / "paintd")]) == 2
    assert "paintd: no such run. Did you mean 'painted'?" in capsys.readouterr().err
