"""The sketch benchmark: its cases, its measures on solids that are known, its floors on numbers worked by hand."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from benchmarks import sketch as command
from benchmarks.runs import RunFailedError
from benchmarks.sketch_cases import COMPLETION, CONFORMITY, LENIENCES, SEEDS, SketchCase, cases
from benchmarks.sketch_figures import SketchFigures, box_points, mesh_solid, other_sketches, read_figures, whole_object
from benchmarks.sketch_report import conformity, measured_floors, table, trained_floors, write_plot
from benchmarks.verdicts import Votes
from core.recipe_layers import Overrides, file_layers, merge_layers
from geometry.bodies import encloses_volume
from geometry.mesh import Mesh
from geometry.sketch import load_sketch_mesh
from toybox.captions import Subject

VOTES = Votes(8, 5, 5, None, [], [], [], 5)


def _figures(iou: float, **changes: Any) -> SketchFigures:
    return dataclasses.replace(SketchFigures(60.0, 5.0, iou, {}, None, None, VOTES), **changes)


def _conformity(*ious: float) -> list[tuple[SketchCase, SketchFigures]]:
    pairs = zip(LENIENCES, ious, strict=False)
    return [
        (SketchCase("conformity", "figure", Subject("robot", "yellow"), lenience, seed), _figures(iou + 0.1 * seed))
        for lenience, iou in pairs
        for seed in (0, 1)
    ]


def _unmet(trained: list[tuple[SketchCase, SketchFigures]]) -> list[str]:
    return [floor.name for floor in trained_floors(trained) if not floor.met]


def _settings(case: SketchCase, work: Path) -> dict[str, Any]:
    """What the case's recipe and overrides say of the system, not yet checked."""
    return merge_layers(
        [*file_layers(case.recipe), Overrides(tuple(case.overrides(work)), Path.cwd()).layer()], case.sketch
    )["system"]


def test_every_question_is_asked_in_full():
    all_cases = cases()
    assert len(all_cases) == len(set(all_cases)) == len(CONFORMITY) * len(SEEDS) * len(LENIENCES) + 2 + 3
    assert {case.question for case in all_cases} == {"conformity", "influence", "completion"}
    assert len(cases(quick=True)) == 2


@pytest.mark.parametrize("case", [*cases()[::7], *cases()[-4:]], ids=lambda case: case.sketch)
def test_cases_are_settings_of_their_recipe(case: SketchCase, tmp_path: Path):
    sketch = _settings(case, tmp_path)["losses"]["sketch"]
    assert encloses_volume(load_sketch_mesh(Path(sketch["path"])))
    assert sketch["lenience"] == case.lenience
    assert (sketch.get("complete_box") is not None) == (case.question == "completion")


def test_of_what_is_completed_the_mug_alone_is_hollow(tmp_path: Path):
    completed = {case.sketch: case for case in cases() if case.question == "completion"}
    losses = {name: _settings(case, tmp_path)["losses"] for name, case in completed.items()}
    assert {name for name, terms in losses.items() if terms["density"] is not None} == {"half-mug"}


def test_a_box_as_a_solid():
    half, size = 0.6, np.array([0.5, 0.3, 0.4])
    box = trimesh.creation.box(extents=2 * size)
    solid = mesh_solid(Mesh(np.asarray(box.vertices), np.asarray(box.faces, dtype=np.int64)), half)
    axis = torch.linspace(-half, half, 128)
    points = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)
    clear = ((points.abs() - torch.from_numpy(size)).abs() > 1e-3).all(dim=-1)
    assert torch.equal(solid[clear], (points.abs() < torch.from_numpy(size)).all(dim=-1)[clear])


@pytest.mark.parametrize(("name", "subject", "box"), COMPLETION, ids=lambda value: str(value)[:20])
def test_what_is_given_and_what_is_missing_make_the_whole(name: str, subject: Subject, box: Any):
    whole = whole_object(subject.kind, 0.6)
    given = mesh_solid(load_sketch_mesh(Path("sketches") / f"{name}.obj"), 0.6)
    missing = whole & box_points(box, 0.6)
    assert float((whole & ~given & ~missing).sum() / whole.sum()) < 0.03
    assert 0.1 < float(missing.sum() / whole.sum()) < 0.7
    assert float((given & missing).sum() / whole.sum()) < 0.03


def test_others_are_the_questions_other_sketches():
    case = cases()[0]
    assert set(other_sketches(case)) == {"chair", "animal"}
    assert all(np.linalg.norm(mesh.vertices, axis=1).max() < 0.501 for mesh in other_sketches(case).values())


def test_conformity_is_the_mean_at_each_lenience():
    assert conformity(_conformity(0.9, 0.8)) == pytest.approx({0.05: 0.95, 0.1: 0.85})


def test_floors_of_conformity():
    assert _unmet(_conformity(0.85, 0.8, 0.6, 0.5)) == []
    assert len(_unmet(_conformity(0.7, 0.6, 0.5, 0.4))) == 1
    assert len(_unmet(_conformity(0.85, 0.8, 0.84, 0.5))) == 1, "rises by 0.04"
    assert _unmet(_conformity(0.85, 0.8, 0.82, 0.5)) == []
    assert len(_unmet(_conformity(0.85, 0.84, 0.83, 0.8))) == 1, "falls by 0.05 only"


def test_floors_of_influence_and_completion():
    chair = SketchCase("influence", "chair", Subject("chair", "blue"), 0.1, 0)
    assert _unmet([(chair, _figures(0.7, iou_others={"canonical-chair": 0.6}))]) == []
    assert len(_unmet([(chair, _figures(0.5, iou_others={"canonical-chair": 0.6}))])) == 1
    empty = _figures(0.0, iou_others={"canonical-chair": 0.0})
    assert len(_unmet([(chair, empty)])) == 1, "nothing is as near to one sketch as to the other"
    wrong = Votes(8, 4, 8, None, [], [], [], 4)
    assert len(_unmet([(chair, _figures(0.7, iou_others={"canonical-chair": 0.6}, votes=wrong))])) == 1
    mug = SketchCase("completion", "half-mug", Subject("mug", "orange"), 0.05, 0, COMPLETION[0][2])
    assert _unmet([(mug, _figures(0.7, iou_completed=0.4, iou_given=0.75))]) == []
    assert len(_unmet([(mug, _figures(0.7, iou_completed=0.39, iou_given=0.74))])) == 2


def test_floors_of_what_is_measured():
    content = {
        "tables": [{"occupancy": 0.9985, "distance_cells": 0.5}, {"occupancy": 0.9979, "distance_cells": 1.1}],
        "timing": {"faces": 50000.0, "seconds": 5.1},
        "cost": [{"step": 0.0, "share": 0.04}, {"step": 256.0, "share": 0.06}],
        "lenient": {"loss": 1e-6, "gradient": 2e-5},
    }
    assert [floor.met for floor in measured_floors(content)] == [False, False, False, True, False, True, False]


def test_figures_come_back_as_they_were_and_those_of_an_earlier_kind_do_not(tmp_path: Path):
    figures, note = _figures(0.7, iou_others={"chair": 0.5}), tmp_path / "measured.json"
    assert read_figures(note) is None
    note.write_text(json.dumps(dataclasses.asdict(figures)))
    assert read_figures(note) == figures
    known = dataclasses.asdict(figures)
    del known["votes"]["both"]
    note.write_text(json.dumps(known))
    assert read_figures(note) is None


def test_table_and_plot(tmp_path: Path):
    trained = _conformity(0.9, 0.8, 0.6, 0.4)
    lines = table(trained).splitlines()
    assert len(lines) == 2 + len(trained)
    assert len({line.count("|") for line in lines}) == 1
    picture = np.asarray(Image.open(write_plot(tmp_path / "plot.png", trained)))
    blue = np.argwhere((picture[..., 2] > 150) & (picture[..., 0] < 80))
    left, right = blue[blue[:, 1] < 80, 0].mean(), blue[blue[:, 1] > 400, 0].mean()
    assert left < right, "the line falls to the right"


MEASURED = {
    "tables": [{"name": "figure", "occupancy": 0.9985, "distance_cells": 0.5}],
    "timing": {"faces": 50000.0, "cores": 2.0, "seconds": 2.0, "cpu_seconds": 3.0},
    "cost": [
        {
            "step": 0.0,
            "samples": 1e4,
            "samples_looked_at": 5e3,
            "share": 0.04,
            "loss_ms": 4.0,
            "step_ms": 100.0,
            "libigl_ms": 90.0,
        }
    ],
    "lenient": {"loss": 1e-6, "gradient": 1e-6},
}


@pytest.mark.parametrize(
    ("words", "name", "whole"),
    [
        ("--only tables", "sketch-tables", True),
        ("--only tables --quick", "sketch-tables", False),
        ("--only conformity,influence,completion", "sketch", False),
        ("--only tables,influence", "sketch", False),
        ("", "sketch", True),
        ("--quick", "sketch", False),
    ],
)
def test_tables_alone_are_a_whole_of_their_own(words: str, name: str, whole: bool, monkeypatch: pytest.MonkeyPatch):
    asked = []
    monkeypatch.setattr(command, "_measured", lambda _: MEASURED)
    monkeypatch.setattr(command, "_trained", lambda wanted, _: asked.extend(wanted) or [])
    report = command._run(command._parser().parse_args(words.split()))
    assert (report.name, report.whole) == (name, whole)
    assert ("tables" in report.figures) == ("tables" in words or "only" not in words)
    assert ("objects" in report.figures) == (name == "sketch") == bool(asked)


def test_a_run_that_fails_is_told_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    def figures_of(case: SketchCase, *_: Any) -> SketchFigures:
        if case.lenience == 1.0:
            raise RunFailedError("a yellow robot: no memory")
        done.append(case)
        return _figures(0.9)

    done: list[SketchCase] = []
    monkeypatch.setattr(command, "figures_of", figures_of)
    monkeypatch.setattr(command, "plan_run", lambda *_: None)
    options = command._parser().parse_args(["--jobs", "2", "--work", str(tmp_path)])
    with pytest.raises(RunFailedError, match=r"^6 of 29 runs: no result$"):
        command._trained(cases(), options)
    assert len(done) == 23
    assert "FAILED a yellow robot: no memory" in capsys.readouterr().out
    kept = [case for case in cases() if case.lenience != 1.0]
    assert [case for case, _ in command._trained(kept, options)] == kept, "in their order, whoever is first"


def test_no_jobs_are_no_benchmark(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    assert command.main(["--only", "influence", "--jobs", "0", "--work", str(tmp_path)]) == 2
    assert "error: --jobs 0: at least 1" in capsys.readouterr().err


def test_an_unknown_part_is_named(capsys: pytest.CaptureFixture[str]):
    assert command.main(["--only", "tabels"]) == 2
    assert "--only tabels: not a part of this benchmark. Did you mean 'tables'?" in capsys.readouterr().err
