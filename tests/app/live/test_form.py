"""A page that begins with a form: runs of strangers, with limits; and the list of the runs that are there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("viser", reason="the live page needs requirements-live.txt")

from app.jobs.folder import Record, Status, Task, begin, finish
from app.live.form import known_recipes
from app.live.index import listed_runs, table
from app.live.settings_form import fields_of, filled_in, mesh_keys
from app.live.strangers import leads_out, without_paths
from app.live.uploads import keep_upload
from app.run_folder import mark_exported
from core.errors import UserError
from core.recipe import dump_recipe, read_recipe
from tests.app.live.live_command import Command, launched, until
from tests.app.live.robot import Robot

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def recipes() -> dict[str, object]:
    return dict(known_recipes())


def test_settings_are_offered_with_their_meaning_and_no_file_is_among_them(recipes: dict) -> None:
    assert {"latent-nerf", "latent-paint", "sketch-shape", "text-to-asset"} <= recipes.keys()
    for name, recipe in recipes.items():
        fields = fields_of(recipe)
        assert len(fields) > 30, name
        assert all(field.meaning for field in fields), name
        keys = {field.key for field in fields}
        for wanted in ("trainer.max_steps", ".guidance_scale"):
            assert any(key.endswith(wanted) for key in keys), name
        assert not {
            key for key in keys if key.endswith((".path", ".model", ".folder", ".lora", ".embeddings", ".configs"))
        }
    assert mesh_keys(recipes["latent-paint"]) == ["system.geometry.path"]
    assert mesh_keys(recipes["sketch-shape"]) == ["system.losses.sketch.path"]
    assert mesh_keys(recipes["latent-nerf"]) == mesh_keys(recipes["text-to-asset"]) == []


def test_what_is_filled_in_becomes_a_checked_recipe(recipes: dict) -> None:
    values = {"system.geometry.n_levels": 4.0, "system.guidance.max_noise": "{start: 0.9, end: 0.4}"}
    (recipe,) = filled_in(recipes["latent-nerf"], values, 5, None)
    assert (recipe.seed, recipe.system.config.geometry.config.n_levels) == (5, 4)
    assert recipe.system.config.guidance.config.max_noise.values == [0.9, 0.4]


def test_stages_are_filled_in_each_by_itself(recipes: dict) -> None:
    values = {"stages.0.system.geometry.n_levels": 4.0, "stages.2.trainer.max_steps": 50.0}
    first, second, third = filled_in(recipes["text-to-asset"], values, 5, None)
    assert (first.seed, second.seed, third.seed) == (5, 5, 5)
    assert first.system.config.geometry.config.n_levels == 4
    assert second.system.config.geometry.config.inner.config.n_levels == 8
    assert third.trainer.max_steps == 50
    assert str(third.system.config.geometry.config.path) == "previous/mesh.glb"
    with pytest.raises(UserError, match=r"stages\.3\.trainer\.max_steps: no setting"):
        filled_in(recipes["text-to-asset"], {"stages.3.trainer.max_steps": 1.0}, 0, None)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("system.geometry.n_levels", -1.0, "system.geometry.n_levels"),
        ("system.geometry.n_levels", float("nan"), "expected a number"),
        ("system.guidance.max_noise", "[1, 2", "neither a number"),
        ("system.guidance.max_noise", "[&a [1, 1], &b [*a, *a], [*b, *b]]", "neither a number"),
        ("system.guidance.max_noise", "[" * 400, "neither a number"),
        ("system.guidance.max_noise", "9" * 400, "expected a number or a schedule"),
        ("system.guidance.max_noise", "${oc.env:HOME}", "expected a number or a schedule"),
        ("system.guidance.model", "/etc", "no setting that can be filled in"),
        ("plugins", "[/tmp/x.py]", "no setting that can be filled in"),
        ("exporters.0.type", "mesh", "no setting that can be filled in"),
        ("trainer.max_steps", 10.0**9, "at most 100000"),
        ("system.guidance.negative_prompt", "x" * 501, "at most 500 characters"),
        ("system.guidance.negative_prompt", ["a"], "a text of at most"),
        ("system.guidance.negative_prompt", "\ud800", "not valid UTF-8"),
    ],
)
def test_what_strangers_fill_in_is_checked_and_refused_in_a_line(
    recipes: dict, key: str, value: object, said: str
) -> None:
    with pytest.raises(UserError, match=said.replace("$", r"\$")):
        filled_in(recipes["latent-nerf"], {key: value}, 0, None)


def test_environment_variables_are_no_texts_of_strangers(recipes: dict, tmp_path: Path) -> None:
    """As they stand, also when the run's own recipe.yaml is read again."""
    (recipe,) = filled_in(recipes["latent-nerf"], {"system.guidance.negative_prompt": "${oc.env:HOME}"}, 0, None)
    (tmp_path / "recipe.yaml").write_text(dump_recipe(recipe))
    for each in (recipe, read_recipe(tmp_path / "recipe.yaml")):
        assert each.system.config.guidance.config.negative_prompt == "${oc.env:HOME}"


@pytest.mark.parametrize(
    "name", ["../../evil.obj", "/etc/cron.d/evil.obj", "C:\\temp\\evil.obj", "evil.obj", "..obj.obj"]
)
def test_an_upload_stays_in_its_folder_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    content = (ROOT / "sketches" / "figure.obj").read_bytes()
    path = keep_upload(tmp_path / "runs", name, content)
    assert path.resolve().is_relative_to((tmp_path / "runs" / "uploads").resolve())
    assert path.read_bytes() == content
    assert sorted(each.name for each in tmp_path.iterdir()) == ["runs"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.py", b"import os", "a mesh comes as"),
        ("a", b"", "a mesh comes as"),
        ("a.gltf", b"{}", "a mesh comes as"),
        ("a.glb", b"not a mesh", "a.glb"),
        ("a.obj", b"", "a.obj"),
        ("a.ply", b"x" * (50 * 2**20 + 1), "at most 50 MiB"),
    ],
)
def test_what_is_no_mesh_is_refused_and_not_kept(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    with pytest.raises(UserError, match=said):
        keep_upload(tmp_path, name, content)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_folder_for_uploads_that_leads_elsewhere_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "uploads").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="leads out"):
        keep_upload(tmp_path / "runs", "a.obj", (ROOT / "sketches" / "figure.obj").read_bytes())
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_meshes_are_kept_up_to_a_limit_in_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = (ROOT / "sketches" / "figure.obj").read_bytes()
    monkeypatch.setattr("app.live.uploads.MOST_KEPT", 2 * len(content))
    keep_upload(tmp_path, "a.obj", content)
    keep_upload(tmp_path, "b.obj", content[:-1])
    with pytest.raises(UserError, match="are kept here, and no more"):
        keep_upload(tmp_path, "c.obj", content[:-2])
    assert len(list((tmp_path / "uploads").iterdir())) == 2


def make_run(folder: Path) -> Path:
    (folder / "checkpoints" / "step-000250").mkdir(parents=True)
    for name in ("recipe.yaml", "prompt.txt"):
        (folder / name).write_text("a ball")
    return folder


def test_the_list_says_how_far_runs_and_jobs_are_and_how_they_ended(tmp_path: Path) -> None:
    make_run(tmp_path / "halted")
    mark_exported(make_run(tmp_path / "whole"), True)
    staged = tmp_path / "staged"
    make_run(staged / "1-latent-nerf")
    make_run(staged / "2-latent-nerf-rgb")
    for name, content in {"recipe.yaml": "", "prompt.txt": "a cup", "stages.json": STAGES}.items():
        (staged / name).write_text(content)
    ends: dict[str, Status] = {"job-1": "done", "job-2": "poisoned"}
    for job, status in ends.items():
        task = Task(job, 1, "a <b>car</b>", tmp_path / job, (), {})
        begin(task)
        (task.folder / "prompt.txt").write_text(task.prompt)
        finish(task.folder, Record.of(task, status, "" if status == "done" else "/secret/place/mesh.obj: broken"))
    begin(Task("job-3", 3, "", tmp_path / "job-3", (), {}))
    bad = make_run(tmp_path / "bad")
    (bad / "prompt.txt").write_bytes(b"\xff")

    runs = {run.name: run for run in listed_runs(tmp_path)}
    assert {name: (run.state, run.more, run.can_be_opened) for name, run in runs.items()} == {
        "halted": ("unfinished", "step 250", True),
        "whole": ("done", "", True),
        "staged": ("unfinished", "step 250 of stage 2", True),
        "job-1": ("done", "", False),
        "job-2": ("poisoned", "mesh.obj: broken", False),
        "job-3": ("unfinished", "no checkpoint yet", False),
    }
    shown = table(list(runs.values()), 0.0)
    assert "6 in all: 3 unfinished, 2 done, 1 poisoned" in shown
    assert "/secret" not in shown
    assert "<b>" not in shown


STAGES = '["1-latent-nerf", "2-latent-nerf-rgb", "3-latent-paint"]'


def test_links_that_lead_out_of_the_folder_are_no_runs(tmp_path: Path) -> None:
    runs, secret = tmp_path / "runs", make_run(tmp_path / "secret")
    make_run(runs / "good")
    (runs / "linked").symlink_to(secret)
    odd = make_run(runs / "odd")
    (odd / "prompt.txt").unlink()
    (odd / "prompt.txt").symlink_to(secret / "prompt.txt")
    assert [run.name for run in listed_runs(runs)] == ["good"]
    mesh = make_run(runs / "mesh")
    (mesh / "mesh.glb").symlink_to("/etc/passwd")
    assert leads_out(mesh)
    assert not leads_out(runs / "good")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/me/runs/a-ball-1a2b3c/recipe.yaml: broken", "recipe.yaml: broken"),
        ("cannot read '/etc/passwd', sorry", "cannot read 'passwd', sorry"),
        ("a red/green ball, 3/4 done", "a red/green ball, 3/4 done"),
        ("system.geometry.path: /a/b c.obj is no mesh", "system.geometry.path: b c.obj is no mesh"),
        ("/home/john doe/My Runs/a.obj: broken", "a.obj: broken"),
        ("/srv/a,b/(c)/d.ply is larger than /data/x.ply, of 3/4", "d.ply is larger than x.ply, of 3/4"),
        ("/data/O'Neil, J. (runs)/a b/mesh.ply: step 3/4", "mesh.ply: step 3/4"),
        ("/data/O'Neil, J. (runs)/mesh.ply and /data/O'Neil, J. (runs)", "mesh.ply and O'Neil, J. (runs)"),
    ],
)
def test_no_path_of_this_machine_is_told(text: str, shown: str) -> None:
    assert without_paths(text, Path("/data/O'Neil, J. (runs)")) == shown


def test_folders_that_are_known_are_cut_whatever_their_names_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "J. 'X' Doe"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    assert without_paths(f"{home}/.cache/model.bin: broken", Path("runs")) == "model.bin: broken"
    monkeypatch.chdir(home)
    assert without_paths(f"{home}/runs/a/recipe.yaml: broken", Path("runs")) == "recipe.yaml: broken"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """A page without a run, in whose folder one lies."""
    folder = tmp_path_factory.mktemp("form")
    make_run(folder / "runs" / "broken")
    with launched(["--live", "--out", "runs", "--device", "cpu"], folder) as command:
        yield command


def test_a_visitor_fills_in_the_form_and_a_run_is_made(page: Command) -> None:
    with Robot(page.address()) as robot:
        until(lambda: "broken" in robot.text, "the list shows what is there")
        robot.set("Prompt", "a red ball")
        for name, value in {"max_steps": 2.0, "n_levels": 2.0, "samples_per_ray": 8.0, "n_objects": 1.0}.items():
            robot.set(name, value)
        robot.set("n_levels", -3.0)
        robot.press("Start")
        until(lambda: any("system.geometry.n_levels" in note for note in robot.notes), "nonsense is told")
        robot.set("n_levels", 2.0)
        robot.set("Run", "../../../etc")
        robot.press("Open")
        until(lambda: any("There is no such run here" in note for note in robot.notes), "no other folder is opened")
        robot.set("Run", "broken")
        robot.press("Open")
        until(lambda: sum("Not opened" in note for note in robot.notes) > 1, "a broken run is told")
        assert not any(str(page.log.parent) in note for note in robot.notes)
        robot.press("Start")
        until(lambda: "a red ball**" in robot.text, "it is trained")
        until(lambda: "**: finished" in robot.text, "and exported", 900)
    made = [path for path in (page.log.parent / "runs").iterdir() if path.name.startswith("a-red-ball")]
    assert len(made) == 1
    assert (made[0] / "report.html").is_file()
    assert page.interrupt() == 0
