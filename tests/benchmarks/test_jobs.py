"""The rows of the benchmark of jobs do the harm that they are there for."""

from pathlib import Path

from app.jobs.checking import Checker
from app.jobs.table import read_rows
from benchmarks.job_rows import HARM_STEPS, HARMS, mixed, write_recipe, write_rows


def test_rows_do_the_harm_that_they_say(tmp_path: Path) -> None:
    rows, expected = mixed(tmp_path, 5)
    assert list(expected.values()) == ["failed", "poisoned", "poisoned", "done", "done"]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    checker = Checker(path, write_recipe(tmp_path), [f"trainer.max_steps={HARM_STEPS}"])
    recipes = [job.recipes[0] for job in checker.jobs(read_rows(path), tmp_path / "out")]
    assert [recipe.system.config.losses["trouble"].config.how for recipe in recipes[1:]] == [*HARMS, "none", "none"]
    systems = [recipe.system.part.part_name for recipe in recipes]
    assert systems == ["latent-paint", "latent-nerf", "latent-nerf", "latent-nerf", "sketch-shape"]
    assert [choice.part.part_name for choice in recipes[1].exporters] == ["mesh"]
