"""Whatever recipes, overrides, prompts and run folders hold: a result or one line, the right code, within seconds."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.cli import main
from tests.app.small_command import EXAMPLE, ball_command, runs
from tests.app.test_terminal import OBEYED

#: Results, faults of the input, faults of this machine; 1 would be a fault of the program.
RIGHT_CODES = {0, 2, 3}
LONGEST_S = 20
PROMISE = "one line and exit code 2 or 3 within 20 s, or a result; never a traceback"
FEW = settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))  # pyright: ignore

NASTY: list[Any] = [
    None, True, -1, 0, 1, 3, 10**9, 10**23, -(2**63), 1e-300, 1e23, 1e308, float("inf"), float("nan"), "", "x", "???",
    "${x}", "${oc.env:NO_SUCH}", "\x1b[31m", "a\nb", "a\0b", "../..", "/dev/zero", [], [1, 2], [[]], {}, {"type": "no"},
    {"a": {"b": 1}}, {"start": 1, "end": 0}, {"points": [[0, 1], [1, 0]]}, "9" * 5000,
]  # fmt: skip
bytes_put = st.binary(max_size=30) | st.sampled_from([b"*a", b"&a ", b"!!python/x "])
values = st.sampled_from(NASTY) | st.integers() | st.floats() | st.text(max_size=20)


@contextmanager
def within_seconds() -> Iterator[None]:
    """Fail where the block computes longer than that, or waits ten times as long (others share the machine's cores)."""

    def too_long(*_: object) -> None:
        raise AssertionError(f"still waiting after {10 * LONGEST_S} s")

    before, begin = signal.signal(signal.SIGALRM, too_long), time.process_time()
    signal.alarm(10 * LONGEST_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert time.process_time() - begin < LONGEST_S


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[..., int]:
    """Carries out a command and checks how it ends."""
    assert main(["--list", "views"]) == 0  # the libraries are imported by now
    capsys.readouterr()

    def check(arguments: Sequence[str]) -> int:
        with within_seconds():
            code = main(arguments)
        out, err = capsys.readouterr()
        assert code in RIGHT_CODES, err
        assert "Traceback" not in err
        assert code == 0 or err.splitlines()[-1].startswith("error: "), err
        assert not {*out, *err} & {*OBEYED}, "no control characters"
        return code

    return check


def keys_of(tree: Any, prefix: str = "") -> list[str]:
    """Every key of a tree, dots between its words."""
    if not isinstance(tree, dict):
        return []
    keys = [f"{prefix}{key}" for key in tree]
    return keys + [below for key, item in tree.items() for below in keys_of(item, f"{prefix}{key}.")]


def with_value(tree: Any, key: str, value: Any) -> Any:
    word, _, rest = key.partition(".")
    return {**tree, word: with_value(tree[word], rest, value) if rest else value}


WHOLE = yaml.safe_load(EXAMPLE.read_text())


@pytest.mark.fault("a recipe with any value at any key", PROMISE)
@FEW
@given(st.sampled_from(keys_of(WHOLE)), values)
def test_any_value(told: Callable[..., int], tmp_path_factory: pytest.TempPathFactory, key: str, value: Any):
    tree = {**with_value(WHOLE, key, value), "plugins": [str(EXAMPLE.with_suffix(".py"))]}
    path = tmp_path_factory.mktemp("recipe") / "r.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8", errors="replace")
    told(["--config", str(path), "--prompt", "a ball", "--show-recipe"])


@pytest.mark.fault("a recipe file with bytes changed, left out and repeated", PROMISE)
@FEW
@given(
    st.integers(0, 600), st.integers(0, 40), st.binary(max_size=30) | st.sampled_from([b"*a", b"&a ", b"!!python/x "])
)
def test_any_bytes(told: Callable[..., int], tmp_path_factory: pytest.TempPathFactory, at: int, n: int, put: bytes):
    content = EXAMPLE.read_bytes()
    path = tmp_path_factory.mktemp("recipe") / "r.yaml"
    path.write_bytes(content[:at] + put + content[at + n :])
    told(["--config", str(path), "--prompt", "a ball", "--show-recipe"])


@pytest.mark.fault("aliases that stand for 10^12 values, 10,000 brackets; a pipe, a device as recipe", PROMISE)
def test_recipes_that_would_not_end(told: Callable[..., int], tmp_path: Path):
    bomb = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 13))
    deep = "a: " + "[" * 10_000
    many_digits = f"seed: {'9' * 5000}\n"
    for name, text in (("bomb", bomb), ("deep", deep), ("digits", many_digits), ("self", "a: &a [*a]\n")):
        (tmp_path / name).write_text(text)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "three").write_text("extends: 3\nsystem: {}\n")
    for path in (*tmp_path.iterdir(), tmp_path, Path("/dev/zero"), Path("/proc/self/mem")):
        assert told(["--config", str(path), "--prompt", "a ball", "--show-recipe"]) in (2, 3), path


@pytest.mark.fault("any value of any setting on the command line, a million and 10^23 among them", PROMISE)
@settings(FEW, max_examples=25)
@given(st.data())
def test_any_override(told: Callable[..., int], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    folder = tmp_path_factory.mktemp("work")
    command = ball_command(folder)
    settings_of_all = [word.partition("=")[0] for word in command if word.startswith(("system.", "trainer."))]
    settings_of_all += ["system.geometry.bound", "system.views.n_views", "trainer.n_preview_views", "seed", "trainer"]
    settings_of_all += ["system.optimizer.betas", "system.losses", "system.guidance.noise", "exporters.0.n_views"]
    key = data.draw(st.sampled_from(sorted(set(settings_of_all))))
    value = data.draw(values.filter(lambda value: key != "trainer.max_steps" or value != 10**9))
    text = f"{key}={value}".replace("\0", "0").encode("utf-8", "replace").decode()
    told([*command, "--prompt", "a ball", text, "--dry-run"])


@pytest.mark.fault("any text as a prompt", PROMISE)
@settings(FEW, max_examples=40)
@given(st.text(max_size=300).filter(lambda text: "\0" not in text))
def test_any_prompt(told: Callable[..., int], text: str):
    command = ["--config", str(EXAMPLE), "--show-recipe"]
    code = told([*command, "--prompt", text])
    assert code == (0 if text.strip() else 2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three steps."""
    command = ball_command(tmp_path_factory.mktemp("trained"))
    assert main([*command, "--prompt", "a ball", "exporters=[{type: contact-sheet}, {type: report}]"]) == 0
    return runs(command)[0]


JUNK: dict[str, Callable[[Path], object]] = {
    "gone": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "noise": lambda path: path.write_bytes(bytes(range(256)) * 40),
    "escapes": lambda path: path.write_text("\x1b[2J\x1b]0;x\x07" * 20),
    "pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "link to nothing": lambda path: (path.unlink(), path.symlink_to("/nowhere/at/all")),
    "link to itself": lambda path: (path.unlink(), path.symlink_to(path.name)),
    "folder": lambda path: (path.unlink(), path.mkdir()),
    "device": lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
}


@pytest.mark.parametrize("junk", JUNK)
@pytest.mark.fault("a file of a run is gone, cut, noise, a pipe, a broken link, a folder or a device", PROMISE)
def test_any_file_of_a_run(told: Callable[..., int], tmp_path: Path, trained: Path, junk: str):
    names = [path.relative_to(trained) for path in trained.rglob("*") if path.is_file()]
    kept = [name for name in names if name.parts[0] not in ("inputs", "previews")]
    for i, name in enumerate(kept):
        run = tmp_path / str(i)
        shutil.copytree(trained, run)
        JUNK[junk](run / name)
        told(["--export", str(run), "--device", "cpu"])
        shutil.rmtree(run)
