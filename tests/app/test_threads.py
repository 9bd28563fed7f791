"""Waiting threads: what launch.py sets before torch is imported, and what it leaves to the user."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.threads import SAID_BY_USERS, wait_passively

ROOT = Path(__file__).parents[2]


@pytest.fixture
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in SAID_BY_USERS:
        monkeypatch.setenv(name, "-")  # so that whatever is set in the test is taken back after it
        monkeypatch.delenv(name)
    return monkeypatch


def test_threads_sleep_unless_the_user_says_otherwise(nothing_said: pytest.MonkeyPatch):
    wait_passively()
    assert os.environ["OMP_WAIT_POLICY"] == "passive"


@pytest.mark.parametrize(("name", "value"), [("OMP_WAIT_POLICY", "active"), ("GOMP_SPINCOUNT", "7")])
def test_what_the_user_has_said_stays(name: str, value: str, nothing_said: pytest.MonkeyPatch):
    nothing_said.setenv(name, value)
    wait_passively()
    assert {said: os.environ.get(said) for said in SAID_BY_USERS if said in os.environ} == {name: value}


def test_the_command_line_says_it_before_torch_can_read_it():
    kept = {name: value for name, value in os.environ.items() if name not in SAID_BY_USERS}
    probe = "import launch, os, sys; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, env=kept, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["passive", "False"]
