"""All rows are checked before the first one starts: what a row may say, and what is told of those that are wrong."""

import time
from pathlib import Path
from typing import Any

import pytest

from app.jobs.checking import Checker, Job
from app.jobs.table import read_rows
from core.errors import UserError
from tests.app.jobs.small_jobs import write_jobs, write_recipe
from tests.app.small_command import ROOT
from tests.systems.small_paint import write_ball


def jobs_of(folder: Path, rows: list[dict[str, Any]], *overrides: str, config: Path | None = None) -> list[Job]:
    """The jobs of rows, whose results would go to `folder / "out"`."""
    file = write_jobs(folder / "jobs.csv", rows)
    checker = Checker(file, config or write_recipe(folder), overrides)
    return checker.jobs(read_rows(file), folder / "out")


def faults_of(folder: Path, rows: list[dict[str, Any]], **more: Any) -> list[str]:
    with pytest.raises(UserError) as error:
        jobs_of(folder, rows, **more)
    return str(error.value).splitlines()


def test_a_row_says_what_is_made_and_the_command_wins_over_it(tmp_path: Path) -> None:
    rows = [
        {"id": "first", "prompt": "a red ball", "seed": 7, "trainer.max_steps": 20},
        {"prompt": "a blue ball", "system.geometry.resolution": 16},
        {"prompt": "a blue ball", "system.geometry.resolution": 20},
    ]
    first, second, third = jobs_of(tmp_path, rows, "trainer.preview_every=0", "system.geometry.resolution=14")
    assert (first.id, first.recipes[0].prompt, first.recipes[0].seed) == ("first", "a red ball", 7)
    assert first.recipes[0].trainer.max_steps == 20
    assert second.recipes[0].trainer.max_steps == 3, "an empty cell leaves the recipe alone"
    assert second.recipes[0].trainer.preview_every == 0
    assert second.recipes[0].system.config.geometry.config.resolution == 14
    assert second.id.startswith("a-blue-ball-")
    assert second.id != third.id, "a name is made of the whole row"


def test_paths_start_from_the_jobs_file_and_are_what_the_system_says(tmp_path: Path) -> None:
    (tmp_path / "meshes").mkdir()
    write_ball(tmp_path / "meshes" / "ball.obj")
    (tmp_path / "wood.png").write_bytes(b"looked at when it is used")
    paint, sketch = (str(ROOT / "configs" / f"{name}.yaml") for name in ("latent-paint", "sketch-shape"))
    rows = [
        {"id": "own", "prompt": "a ball", "config": paint, "shape": "meshes/ball.obj", "texture": "own"},
        {"id": "wood", "prompt": "a ball", "config": paint, "shape": "meshes/ball.obj", "texture": "wood.png"},
        {"id": "drawn", "prompt": "a ball", "config": sketch, "shape": "meshes/ball.obj"},
        {"id": "plain", "prompt": "a ball", "config": "ball.yaml"},
    ]
    own, wood, drawn, plain = (job.recipes[0].system.config for job in jobs_of(tmp_path, rows))
    mesh = tmp_path / "meshes" / "ball.obj"
    assert (own.geometry.config.path, own.geometry.config.start) == (mesh, "own-texture")
    assert (wood.geometry.config.path, wood.geometry.config.start) == (mesh, tmp_path / "wood.png")
    assert drawn.losses["sketch"].config.path == mesh
    assert plain.guidance.config.folder == tmp_path / "views"


def test_all_faults_are_told_in_one_go(tmp_path: Path) -> None:
    paint = str(ROOT / "configs" / "latent-paint.yaml")
    rows = [
        {"id": "a", "prompt": "a red ball", "trainer.max_stps": 3, "sed": 1},
        {"id": "a", "prompt": " ", "seed": "x"},
        {"id": "b/c", "prompt": "a ball", "config": "nothere.yaml"},
        {"id": "d", "prompt": "a ball", "shape": "missing.obj", "config": paint},
        {"id": "E", "prompt": "a ball", "texture": "own", "shape": str(ROOT / "README.md"), "trainer.max_stps": 3},
        {"id": "e", "prompt": "a ball", "config": str(ROOT / "configs" / "latent-nerf-rgb.yaml")},
        {"id": "f", "prompt": "a ball", "system.guidance.folder": "no/such/folder", "trainer.max_steps": 0},
    ]
    said = faults_of(tmp_path, rows)
    expected = [
        "rows 1, 2, 3, 4, 5, 6, 7: sed: no such column. Did you mean 'seed'?",
        "rows 1, 5: trainer.max_stps: no such setting of TrainerConfig. Did you mean 'max_steps'?",
        "row 2: prompt: empty; say what to make, such as 'a red mushroom'",
        "row 2: seed: an integer from 0 to 2^32 - 1, got 'x'",
        "row 3: id: 'b/c' is no name for a folder; letters, digits, spaces, - _ and dots within will do",
        "row 4: shape: missing.obj: no such file",
        "row 5: texture: 'latent-nerf' (ball.yaml) takes none; leave it empty, or name another recipe",
        "row 5: shape: 'latent-nerf' (ball.yaml) takes none; leave it empty, or name another recipe",
        "row 6: config: 'latent-nerf-rgb' goes on from a run; take a recipe with stages",
        "row 7: trainer.max_steps: from 1 to 10^9, got 0",
        "rows 1, 2: id: 'a' stands more than once",
        "rows 5, 6: id: ['E', 'e'] would share one folder",
    ]
    assert set(expected) <= set(said), [line for line in expected if line not in said]
    assert any(line.startswith("row 3: ") and "nothere.yaml: no such recipe" in line for line in said)
    assert not (tmp_path / "out").exists()


def test_equal_rows_and_missing_inputs_are_faults(tmp_path: Path) -> None:
    said = faults_of(tmp_path, [{"prompt": "a ball"}, {"prompt": "a ball"}])
    assert len(said) == 1
    assert said[0].startswith("rows 1, 2: id: 'a-ball-")
    assert said[0].endswith("stands more than once; the rows are equal, give them ids")
    (said,) = faults_of(tmp_path, [{"prompt": "a ball", "system.guidance.folder": "no/such"}])
    assert said == f"row 1: system.guidance.folder: {tmp_path / 'no/such'}: no such file"
    (said,) = faults_of(tmp_path, [{"prompt": "a ball", "trainer.devices": 2}])
    assert said.startswith("row 1: trainer.devices: 1 for a row; give --workers")


def test_the_fault_of_many_rows_is_one_line(tmp_path: Path) -> None:
    (said,) = faults_of(tmp_path, [{"id": f"r{i}", "prompt": "a ball", "trainer.max_steps": 0} for i in range(50)])
    assert said == "rows 1, 2, 3, 4, 5, 6, 7, 8 ... (50 rows): trainer.max_steps: from 1 to 10^9, got 0"


def test_a_folder_that_is_no_jobs_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out" / "photos").mkdir(parents=True)
    (tmp_path / "out" / "photos" / "cat.jpg").touch()
    (said,) = faults_of(tmp_path, [{"id": "photos", "prompt": "a ball"}])
    assert "photos is there and is no folder of a job" in said


def test_what_a_job_is_counts_not_where_its_files_lie(tmp_path: Path) -> None:
    """Digests are those of contents: a moved table is the same jobs, an edited mesh is another one."""
    digests = []
    for name in ("here", "there"):
        folder = tmp_path / name
        folder.mkdir()
        write_ball(folder / "ball.obj")
        config = ROOT / "configs" / "latent-paint.yaml"
        rows = [{"prompt": "a ball", "shape": "ball.obj"}]
        digests.append(dict(jobs_of(folder, rows, config=config)[0].digests))
    assert digests[0] == digests[1]
    with (tmp_path / "there" / "ball.obj").open("a") as mesh:
        mesh.write("# edited\n")
    (edited,) = jobs_of(tmp_path / "there", rows, config=config)
    assert edited.digests["inputs"] != digests[0]["inputs"]
    assert edited.digests["recipe"] == digests[0]["recipe"]


def test_a_thousand_rows_are_checked_in_seconds(tmp_path: Path) -> None:
    rows = [{"id": f"r{i}", "prompt": f"a ball, {i}", "seed": i} for i in range(1000)]
    begun = time.process_time()
    assert len(jobs_of(tmp_path, rows)) == 1000
    assert time.process_time() - begun < 5


def test_names_that_some_disk_refuses_or_keeps_are_faults(tmp_path: Path) -> None:
    names = ["CON", "nul.txt", "a ball.", "INDEX.html", "a\x7fb", "x" * 201]
    rows = [{"id": name, "prompt": "a ball", "seed": i} for i, name in enumerate(names)]
    said = faults_of(tmp_path, rows)
    for i, line in enumerate(said, 1):
        assert line.startswith(f"row {i}: id: ")
        assert "is no name for a folder" in line
        assert line.isprintable()
    assert len(said) == len(names)


def test_a_seed_of_many_digits_is_no_seed(tmp_path: Path) -> None:
    (said,) = faults_of(tmp_path, [{"id": "a", "prompt": "a ball", "seed": "1" * 5000}])
    assert said == f"row 1: seed: an integer from 0 to 2^32 - 1, got '{'1' * 40}'"


def test_a_mesh_that_two_columns_name_is_a_fault(tmp_path: Path) -> None:
    write_ball(tmp_path / "ball.obj")
    paint = str(ROOT / "configs" / "latent-paint.yaml")
    row = {"prompt": "a ball", "config": paint, "shape": "ball.obj", "system.geometry.path": "other.obj"}
    assert faults_of(tmp_path, [row]) == [
        "row 1: system.geometry.path: the column 'shape' says it too; leave one of the two empty",
        f"row 1: system.geometry.path: {tmp_path / 'other.obj'}: no such file",
    ]


def test_stages_keep_prompts_of_their_own_unless_the_row_has_one(tmp_path: Path) -> None:
    write_recipe(tmp_path)
    recipe = tmp_path / "stages.yaml"
    recipe.write_text("stages: [{extends: ball.yaml, prompt: a ball}, {extends: ball.yaml, prompt: a red ball}]")
    (own,) = jobs_of(tmp_path, [{"id": "a"}], config=recipe)
    assert [each.prompt for each in own.recipes] == ["a ball", "a red ball"]
    (said,) = jobs_of(tmp_path, [{"id": "a", "prompt": "a cube"}], config=recipe)
    assert [each.prompt for each in said.recipes] == ["a cube", "a cube"]


@pytest.mark.parametrize("rubbish", ["", "[]", '{"digests": null}', '{"digests": "x"}'])
def test_a_folder_that_does_not_say_what_it_was_made_of_is_refused(tmp_path: Path, rubbish: str) -> None:
    (tmp_path / "out" / "a").mkdir(parents=True)
    (tmp_path / "out" / "a" / "job.json").write_text(rubbish)
    (said,) = faults_of(tmp_path, [{"id": "a", "prompt": "a ball"}])
    assert said.endswith("job.json cannot be read, which says what 'a' was made of; give the row another id")


def test_a_link_or_a_folder_in_the_place_of_a_file_is_no_jobs(tmp_path: Path) -> None:
    (tmp_path / "out" / "b" / "failed.json").mkdir(parents=True)
    (tmp_path / "out" / "b" / "job.json").write_text("{}")
    (tmp_path / "out" / "a").symlink_to(tmp_path / "nowhere")
    said = faults_of(tmp_path, [{"id": name, "prompt": "a ball"} for name in "ab"])
    assert len(said) == 2
    assert all("is there and is no folder of a job" in line for line in said)


@pytest.mark.parametrize("column", ["plugins.0", "plugins.[0]", "stages.0.plugins.0", "stages[0].plugins[1]"])
def test_a_row_names_no_program(tmp_path: Path, column: str) -> None:
    """A table that somebody has sent is data; what it names is not run."""
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    said = faults_of(tmp_path, [{"id": "a", "prompt": "a ball", column: "evil.py"}])
    assert said == [f"row 1: {column}: a row runs no code; name plugins in a recipe, or with --plugin"]
    assert not (tmp_path / "ran").exists()
