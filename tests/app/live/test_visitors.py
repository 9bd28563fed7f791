"""Visitors of a real training, without browsers: what they see, what they may do, and what they cannot."""

import hashlib
import io
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

pytest.importorskip("viser", reason="the live page needs requirements-live.txt")

from tests.app.live.live_command import Command, launched, until
from tests.app.live.robot import Robot
from tests.app.small_command import ball_command, runs

MESH = "exporters=[{type: mesh, resolution: 24, n_faces: 400, texture_size: 64, n_photographs: 4, n_silhouettes: 4}]"


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """A training of a ball that would take hours."""
    folder = tmp_path_factory.mktemp("live")
    arguments = [
        *ball_command(folder),
        "--prompt",
        "a ball",
        "trainer.max_steps=1000000",
        "trainer.preview_every=0",
        MESH,
    ]
    with launched([*arguments, "--live"], folder) as command:
        yield command


@pytest.fixture
def robot(command: Command) -> Iterator[Robot]:
    """The visitor in control: whoever was there before has left."""
    with Robot(command.address()) as robot:
        until(lambda: "You control" in robot.text, "the only visitor controls the run")
        yield robot


def run_of(command: Command) -> Path:
    (run,) = runs(ball_command(command.log.parent))
    return run


def step_of(robot: Robot) -> int:
    found = re.search(r"step (\d+) of", robot.text)
    return int(found[1]) if found else -1


def seen(robot: Robot) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(robot.picture)).convert("RGB"), dtype=float)


def test_every_kind_of_picture_is_drawn_and_they_differ(robot: Robot) -> None:
    until(lambda: step_of(robot) > 40, "there is a ball to be seen")
    robot.press("Pause")
    digests = set()
    for kind in ("opacity", "depth", "normals", "colour"):
        before = robot.n_pictures
        robot.set("Show", kind)
        until(lambda before=before: robot.n_pictures > before, f"{kind} is drawn")
        time.sleep(2)  # small, and then in full
        assert seen(robot).var() > 50
        digests.add(hashlib.sha256(robot.picture).hexdigest())
    assert len(digests) == 4
    stood = step_of(robot)
    robot.press("Go on")
    until(lambda: step_of(robot) > stood, "the training goes on")


def test_who_came_second_looks_and_does_not_steer_until_the_first_leaves(command: Command) -> None:
    with Robot(command.address()) as second:
        with Robot(command.address()) as first:
            until(lambda: "Another visitor controls" in first.text, "the one who came first controls")
            assert first.widget("Pause")["disabled"]
            for label in ("Pause", "Stop", "Snapshot", "Export and download", "Apply", "Start a fork"):
                first.press(label)
            first.send("GuiUpdateMessage", uuid=first.widget("Show")["uuid"], updates={"value": 7, "removed": []})
            first.send("GuiUpdateMessage", uuid=first.widget("Pause")["uuid"], updates={"disabled": False, "no": 1})
            with Robot(command.address()) as third:
                third.connection.send(b"no message at all")
            before = step_of(second)
            until(lambda: step_of(second) > before + 3, "its browser may send what it likes, the training goes on")
            assert not first.downloads()
            assert "then:" not in second.text
            second.press("Hand over")
            until(lambda: "You control" in first.text, "the other one has it now")
            assert not first.widget("Pause")["disabled"]
        until(lambda: "You control" in second.text, "the one who is left has it again")


def test_a_change_is_made_before_the_next_step_and_written_down(command: Command, robot: Robot) -> None:
    robot.set("prompt", "a red <b>cube</b>")
    robot.set("losses.sparsity", "{start: 0, end: 0.5}")
    robot.press("Apply")
    edits = run_of(command) / "edits.jsonl"
    until(edits.is_file, "the changes are written down")
    until(lambda: len(edits.read_text().splitlines()) == 2, "both of them")
    first, second = (json.loads(line) for line in edits.read_text().splitlines())
    assert (first["setting"], first["value"]) == ("prompt", "a red <b>cube</b>")
    assert (second["setting"], second["value"]) == ("system.losses.sparsity.weight", {"start": 0, "end": 0.5})
    until(lambda: "a red" in robot.text, "the page says what is made now")
    assert "<b>" not in robot.text, "a prompt is no markup"
    robot.set("losses.sparsity", "-1")
    robot.press("Apply")
    until(lambda: any("a weight is at least 0" in note for note in robot.notes), "nonsense is answered")


def test_an_export_during_the_training_is_downloaded_and_shown(command: Command, robot: Robot) -> None:
    robot.set("Exporter", "mesh")
    robot.press("Export and download")
    until(lambda: "mesh.glb" in robot.downloads(), f"the mesh comes: {robot.notes}")
    content = robot.downloads()["mesh.glb"]
    assert content == (run_of(command) / "mesh.glb").read_bytes()
    assert trimesh.load_scene(io.BytesIO(content), file_type="glb").area > 0.1
    before = step_of(robot)
    until(lambda: step_of(robot) > before, "the training goes on after it")
    robot.set("Show", "mesh")
    until(lambda: any(message["type"] == "GlbMessage" for message in robot.messages), "it stands in the scene")


def test_a_snapshot_is_kept_among_the_previews(command: Command, robot: Robot) -> None:
    robot.press("Snapshot")
    until(lambda: any(name.startswith("view-") for name in robot.downloads()), "it is sent")
    name, content = next(item for item in robot.downloads().items() if item[0].startswith("view-"))
    assert (run_of(command) / "previews" / name).read_bytes() == content


def test_a_stopped_run_gets_its_files_and_a_fork_follows(command: Command, robot: Robot) -> None:
    """The fork has the recipe as it was steered, a seed of its own, and is trained when the first run has ended."""
    robot.set("New prompt", "another ball")
    robot.set("New seed", 7)
    robot.press("Start a fork")
    until(lambda: "then: another ball" in robot.text, "it waits")
    mesh = run_of(command) / "mesh.glb"
    mesh.unlink()
    robot.press("Stop and export")
    until(mesh.is_file, "the stopped run is exported")
    until(lambda: "**another ball**: training" in robot.text, "then it is the fork's turn")
    fork = next(run for run in runs(ball_command(command.log.parent)) if run.name.startswith("another-ball"))
    recipe = (fork / "recipe.yaml").read_text()
    assert "seed: 7" in recipe
    assert "end: 0.5" in recipe, "as it was steered"
    assert command.interrupt() == 130
