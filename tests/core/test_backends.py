"""Backends are chosen in order, once, with a word in the log; a named one never falls back."""

import logging
import re

import pytest

from core.backends import Backend, Backends
from core.errors import UserError

TABLE = Backends(
    "hash grid",
    (
        Backend("tcnn", lambda: "fast", lambda: "tinycudann is not installed"),
        Backend("torch", lambda: "plain", lambda: None),
        Backend("slow", lambda: "slower", lambda: None),
    ),
)


def test_auto_takes_the_first_that_can_run_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert TABLE.choose() == "plain"
    assert caplog.messages == ["hash grid: backend 'torch'"]


def test_a_named_backend_is_taken() -> None:
    assert TABLE.choose("slow") == "slower"


def test_a_named_backend_that_cannot_run_is_an_error_with_its_reason() -> None:
    message = "hash grid: 'tcnn' cannot run here: tinycudann is not installed. Use 'auto' for one that can."
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        TABLE.choose("tcnn")


def test_an_unknown_backend_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match=re.escape("hash grid: no backend 'troch'. Did you mean 'torch'?")):
        TABLE.choose("troch")
