"""The rows of the toy world's data set: three sorts of each subject, with meshes and pictures that can be used."""

import json
from pathlib import Path

import trimesh

from app.jobs.checking import Checker
from app.jobs.table import read_rows
from benchmarks.toy_set import N_EACH, RECIPES, toy_subjects, write_rows
from toybox.captions import subjects


def test_subjects_are_of_many_kinds_and_known() -> None:
    chosen = toy_subjects(N_EACH)
    assert len(chosen) == len({subject.kind for subject in chosen}) == N_EACH
    assert set(chosen) <= set(subjects(True))
    assert len({subject.main for subject in chosen}) >= 5


def test_every_row_is_a_job(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", toy_subjects(2))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(rows) == 2 * len(RECIPES)
    assert [("shape" in row, "texture" in row) for row in rows[::2]] == [(False, False), (True, False), (True, True)]
    mesh = trimesh.load(rows[-1]["shape"], force="mesh", process=False)
    assert isinstance(mesh, trimesh.Trimesh)
    assert getattr(mesh.visual, "uv", None) is not None, "a picture is laid on coordinates"
    jobs = Checker(path, None).jobs(read_rows(path), tmp_path / "out")
    assert [job.recipes[0].system.part.part_name for job in jobs[::2]] == list(RECIPES.values())
