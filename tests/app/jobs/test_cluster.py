"""The engine on Ray: the same rows, the same bytes, and a node that goes away. One Ray for the whole file."""

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.cli import main
from app.jobs.cluster import options_of
from app.jobs.engine import Need
from app.jobs.folder import Task
from app.jobs.luggage import Luggage, packed_folder, unpacked_folder
from tests.app.jobs.small_jobs import command, lines_of, write_jobs, write_recipe
from tests.app.jobs.test_command import TROUBLE, Launched

HAS_RAY = "Ray is not installed: requirements-cluster.txt"


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """Ray on this machine, begun once: it takes seconds."""
    ray = pytest.importorskip("ray", reason=HAS_RAY)
    ray.init(num_cpus=2, object_store_memory=2**27, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Ray leaves sockets and files to the garbage collector
def test_rows_through_ray_are_those_of_this_machine(ray: Any, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    rows = [{"id": f"r{i}", "prompt": "a ball", "seed": i, TROUBLE: "none"} for i in range(3)]
    rows += [
        {"id": "killer", "prompt": "a ball", TROUBLE: "kill"},
        {"id": "raiser", "prompt": "a ball", TROUBLE: "raise"},
    ]
    jobs = write_jobs(tmp_path / "jobs.csv", rows)
    on_ray = ("--engine", "ray", "--workers", "2")
    assert main(command(recipe, jobs, tmp_path / "ray", *on_ray)) == 5
    assert main(command(recipe, jobs, tmp_path / "local", "--workers", "2")) == 5
    for name in ("ray", "local"):
        statuses = Counter((line["id"], line["status"]) for line in lines_of(tmp_path / name))
        done = {(f"r{i}", "done"): 1 for i in range(3)}
        assert statuses == {**done, ("killer", "killed"): 1, ("killer", "poisoned"): 1, ("raiser", "failed"): 1}
    for i in range(3):
        sheets = [(tmp_path / name / f"r{i}" / "contact_sheet.png").read_bytes() for name in ("ray", "local")]
        assert sheets[0] == sheets[1]


@pytest.mark.fault(
    "a node of a Ray cluster is taken away while it works", "its rows are done by another one, none twice"
)
def test_a_node_that_goes_away_loses_no_row(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason=HAS_RAY)
    from ray.cluster_utils import Cluster  # pyright: ignore[reportMissingImports]

    recipe = write_recipe(tmp_path, trainer__checkpoint_every=1, trainer__max_steps=20)
    rows = [{"id": f"r{i}", "prompt": "a ball", "seed": i, TROUBLE: "slow"} for i in range(4)]
    small = {"object_store_memory": 2**27}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **small})
    try:
        nodes = [cluster.add_node(num_cpus=1, **small) for _ in range(2)]
        on_cluster = ("--engine", "ray", "--ray-address", cluster.address, "--workers", "2")
        launched = Launched(command(recipe, write_jobs(tmp_path / "jobs.csv", rows), tmp_path / "out", *on_cluster))
        begun = [tmp_path / "out" / f"r{i}" / "checkpoints" / "last.ckpt" for i in range(2)]
        launched.when(lambda: all(path.exists() for path in begun))
        cluster.remove_node(nodes[0], allow_graceful=False)
        cluster.add_node(num_cpus=1, **small)
        said, _ = launched.process.communicate(timeout=600)
    finally:
        cluster.shutdown()
    assert launched.process.returncode == 0, said
    done = Counter(line["id"] for line in lines_of(tmp_path / "out") if line["status"] == "done")
    assert done == {f"r{i}": 1 for i in range(4)}


def test_a_folder_travels_whole_and_takes_the_place_of_the_one_that_was_there(tmp_path: Path) -> None:
    there = tmp_path / "there"
    (there / "checkpoints").mkdir(parents=True)
    (there / "checkpoints" / "last.ckpt").write_bytes(b"weights")
    (there / "done.json").write_text("{}")
    here = tmp_path / "here"
    here.mkdir()
    (here / "old.txt").touch()
    unpacked_folder(packed_folder(there), here)
    assert sorted(path.name for path in here.rglob("*")) == ["checkpoints", "done.json", "last.ckpt"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_a_job_reads_travels_once_with_the_files_that_it_names(tmp_path: Path) -> None:
    home, away = tmp_path / "home", tmp_path / "away"
    home.mkdir()
    (home / "ball.obj").write_text("mtllib ball.mtl\nv 0 0 0\n")
    (home / "ball.mtl").write_text("newmtl red\n")
    recipe = {"prompt": str(home), "system": {"geometry": {"path": str(home / "ball.obj")}, "model": "toybox"}}
    put: list[bytes] = []
    luggage = Luggage(lambda content: put.append(content) or len(put) - 1)
    task = Task("a", 1, "a ball", home / "out" / "a", ((recipe, ()),), {})
    for _ in range(2):
        pieces = luggage.of(task)
    assert len(put) == 1
    moved = pieces.unpacked(task, away, put.__getitem__)
    mesh = Path(moved.recipes[0][0]["system"]["geometry"]["path"])
    assert mesh.is_relative_to(away)
    assert mesh.read_text() == (home / "ball.obj").read_text()
    assert (mesh.parent / "ball.mtl").is_file()
    assert moved.recipes[0][0]["system"]["model"] == "toybox"
    assert moved.recipes[0][0]["prompt"] == str(home), "a prompt is no path"
    assert moved.folder.is_relative_to(away)


def test_an_actor_is_told_its_cores_its_memory_and_its_part_of_a_gpu() -> None:
    cpu = options_of(Need(2.0), 3, {"CPU": 8.0}, is_shared=True)
    assert (cpu["num_cpus"], cpu["memory"], cpu["max_restarts"]) == (3, 3 * 2**30, -1)
    assert "num_gpus" not in cpu
    assert cpu["runtime_env"]["env_vars"]["OMP_NUM_THREADS"] == "3"
    gpu = options_of(Need(4.0, gpu_gib=10.0, whole_gpu_gib=80.0), 8, {"CPU": 8.0, "GPU": 1.0}, is_shared=False)
    assert gpu["num_gpus"] == 0.2
    assert "PYTHONPATH" not in gpu["runtime_env"]["env_vars"]
    assert options_of(Need(4.0, 10.0, 12.0), 8, {"GPU": 1.0}, is_shared=True)["num_gpus"] == 1.0


def test_without_ray_the_engine_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    jobs = write_jobs(tmp_path / "jobs.csv", [{"id": "a", "prompt": "a ball"}])
    assert main(command(write_recipe(tmp_path), jobs, tmp_path / "out", "--engine", "ray")) == 3
    assert "--engine ray: Ray is not installed: pip install -r requirements-cluster.txt" in capsys.readouterr().err
