"""The page of faults says what the tests that carry the marker have found."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = """
import pytest

@pytest.mark.fault("a cut rope", "somebody holds it")
@pytest.mark.parametrize("n", [1, 2, 3])
def test_rope(n):
    assert n < 3

@pytest.mark.fault("a flood", "the door is shut")
def test_flood():
    pytest.skip("needs a river")

@pytest.mark.fault("a storm", "the roof stays")
def test_storm():
    pass

def test_nothing_that_breaks():
    pass
"""


def run_pytest(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "tests.reliability", "-c", "/dev/null", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_page_counts_what_was_found_with_and_without_workers(tmp_path: Path) -> None:
    (tmp_path / "test_weather.py").write_text(TESTS)
    pages = []
    for workers in ((), ("-n", "2")):
        page = tmp_path / f"page-{len(workers)}.md"
        options = ["-m", "fault", "--rootdir", str(tmp_path), "--reliability", str(page), *workers]
        assert run_pytest(str(tmp_path / "test_weather.py"), *options).returncode == 1
        pages.append(page.read_text())
    assert pages[0] == pages[1]
    assert pages[0].splitlines()[4:] == [
        "| fault | promise | test | result |",
        "|---|---|---|---|",
        "| a flood | the door is shut | `test_weather.py::test_flood` | skipped: needs a river |",
        "| a cut rope | somebody holds it | `test_weather.py::test_rope` | failed, 2 passed |",
        "| a storm | the roof stays | `test_weather.py::test_storm` | passed |",
    ]


def test_a_fault_without_its_two_texts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "test_bare.py").write_text("import pytest\n\n@pytest.mark.fault\ndef test_bare(): pass\n")
    ran = run_pytest(str(tmp_path / "test_bare.py"))
    assert 'say what it breaks and what holds: fault("fault", "promise")' in ran.stderr
