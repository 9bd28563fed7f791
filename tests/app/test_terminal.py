"""Nothing that a terminal obeys reaches it, whatever prompts, recipes and files hold."""

import logging
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from app.cli import main
from app.terminal import say, show_failure
from core.errors import UserError, printable
from tests.app.small_command import ROOT, ball_command

#: Clears the screen, sets the title, asks for the cursor's place; a C1 introducer, a right-to-left override, a return.
EVIL = "red\x1b[2J\x1b]0;title\x07\x1b[6n\x9b31m\u202egnp.exe\rshroom"
OBEYED = [chr(code) for code in (*range(9), *range(11, 32), *range(127, 160), 0x202E, 0x2028)]


def test_control_characters_are_spelt_out():
    assert printable("a\x1bb\tc\nd \u202e \udcff é🍄") == "a\\x1bb\tc\nd \\u202e \\udcff é🍄"
    assert not set(printable("".join(OBEYED))) & set(OBEYED)


def test_an_error_holds_none():
    assert str(UserError(f"prompt: {EVIL}")).isprintable()


def test_messages_and_results(capsys: pytest.CaptureFixture[str]):
    say(EVIL)
    assert show_failure(UserError(EVIL), debug=True) == 2
    assert show_failure(ValueError(EVIL), debug=True) == 1
    out, err = capsys.readouterr()
    assert not {*out, *err} & {*OBEYED}
    assert "Traceback" in err or "ValueError" in err


def test_a_run_of_an_evil_prompt_and_recipe(tmp_path: Path):
    """Through the real process, whose loggers and warnings are its own."""
    recipe = tmp_path / "r\x1b[31m.yaml"
    recipe.write_text(f'extends: {ROOT / "examples" / "my_field.yaml"}\nbroken_{chr(0x9B)}: "\\e[31m"\n')
    command = [sys.executable, "launch.py", *ball_command(tmp_path), "--prompt", EVIL]
    bad = [*command[:3], str(recipe), *command[4:]]
    for words, code in ((command, 0), ([*command, "--dry-run"], 0), ([*command, "--show-recipe"], 0), (bad, 2)):
        done = subprocess.run(words, cwd=ROOT, capture_output=True, check=False, timeout=300)
        text = (done.stdout + done.stderr).decode()
        assert done.returncode == code, text
        assert not {*text} & {*OBEYED}, repr(text)


def test_a_terminal_of_another_encoding_is_no_fault(tmp_path: Path):
    command = [sys.executable, "launch.py", *ball_command(tmp_path), "--prompt", "a 🍄", "--show-recipe"]
    env = {"PATH": "/usr/bin:/bin", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, env=env, timeout=300)
    assert done.returncode == 0, done.stderr
    assert b"a \\U0001f344" in done.stdout


def test_warnings_are_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(["--list", "geometry"]) == 0
        warnings.warn(f"first {EVIL}\nsecond", stacklevel=1)
    err = capsys.readouterr().err
    assert err.startswith("UserWarning: first red\\x1b[2J")
    assert err.count("\n") == 1
