"""A run whose recipe names the environment holds the name, never the value."""

from pathlib import Path

import pytest

from app.api import Run
from app.cli import main
from app.live.fork import steered_recipe
from exporters.provenance import shared_notes
from tests.app.small_command import EXAMPLE, ball_command, runs

SECRET = "hunter2"


def files_that_tell(folder: Path) -> list[Path]:
    """Files whose name or content holds the secret."""
    found = [path for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    return [*found, *(path for path in folder.rglob(f"*{SECRET}*"))]


def test_a_secret_stays_out_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    command = ball_command(tmp_path)
    (tmp_path / "views").rename(tmp_path / SECRET)
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        f"extends: {EXAMPLE}\nprompt: a ${{oc.env:WHAT}}\nseed: ${{oc.decode:${{oc.env:SEED}}}}\n"
        "system:\n  guidance: {type: target-image, folder: '${oc.env:VIEWS}', size: 16}\n"
    )
    monkeypatch.setenv("WHAT", SECRET)
    monkeypatch.setenv("VIEWS", str(tmp_path / SECRET))
    monkeypatch.setenv("SEED", "7")
    small = [word for word in command[6:] if not word.startswith(("system.guidance", "exporters"))]
    exporters = "exporters=[{type: contact-sheet}, {type: report}]"
    words = ["--config", str(recipe), *command[2:6], *small, exporters]
    assert main(words) == 0
    (run,) = runs(command)
    assert files_that_tell(tmp_path / "runs") == []
    assert SECRET not in "".join(capsys.readouterr())
    assert (run / "prompt.txt").read_text() == "a ${oc.env:WHAT}"
    loaded = Run.load(run, device="cpu")
    assert shared_notes(loaded.system)["prompt"] == "a ${oc.env:WHAT}", "what travels in a mesh's file"
    fork = steered_recipe(loaded.recipe, loaded.system)
    assert (fork.prompt, fork.shown_prompt) == (f"a {SECRET}", "a ${oc.env:WHAT}")
    written = (run / "recipe.yaml").read_text()
    assert "prompt: a ${oc.env:WHAT}" in written
    assert "seed: ${oc.decode:${oc.env:SEED}}" in written
    assert run.name.startswith("a-oc-env-what-")

    assert main([*words, "--resume", "auto", "trainer.max_steps=4"]) in (0, 2)
    assert main(["--export", str(run), "--device", "cpu"]) == 0
    assert files_that_tell(tmp_path / "runs") == []
    monkeypatch.delenv("WHAT")
    capsys.readouterr()
    assert main(["--export", str(run), "--device", "cpu"]) == 2
    assert "'WHAT' not found" in capsys.readouterr().err
