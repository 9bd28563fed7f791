"""A command for tests: the example's recipe, made small, its guidance replaced by known pictures of a ball."""

from pathlib import Path

from tests.known_ball import write_ball_views

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "my_field.yaml"
#: What makes a recipe on the toybox small, and lets known pictures guide it.
SMALL = {
    "system.guidance.type": "target-image",
    "system.guidance.size": 16,
    "system.views.type": "posed-pictures",
    "system.background.type": "solid",
    "system.renderer.occupancy_resolution": 16,
    "system.renderer.samples_per_ray": 16,
    "system.geometry.resolution": 12,
    "trainer.max_steps": 3,
    "trainer.preview_every": 2,
    "trainer.checkpoint_every": 0,
    "exporters": "[{type: contact-sheet}]",
}


def small_overrides(folder: Path, n_views: int = 8) -> list[str]:
    """What makes the example's recipe small; the pictures of the ball are written into the folder."""
    settings = {**SMALL, "system.guidance.folder": write_ball_views(folder / "views", n_views=n_views)}
    return [f"{key}={value}" for key, value in settings.items()]


def ball_command(folder: Path, n_views: int = 8) -> list[str]:
    """The command, without a prompt; its runs go to `folder / "runs"`, which is its fourth word."""
    words = ["--config", str(EXAMPLE), "--out", str(folder / "runs"), "--device", "cpu"]
    return [*words, *small_overrides(folder, n_views)]


def runs(command: list[str]) -> list[Path]:
    """The runs that a command has made."""
    return sorted(Path(command[3]).glob("*"))
