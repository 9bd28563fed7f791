"""docs/reliability.md is written by the tests that break something on purpose: fault, promise, test, result.

    @pytest.mark.fault("kill -9 while a mesh is written", "the file is the old one or the new one, never half of one")
    def test_whenever_it_is_killed_each_file_is_whole(tmp_path: Path) -> None: ...

`make faults` runs them all and writes the page: `pytest -m fault --reliability=docs/reliability.md`.
"""

from collections import Counter
from pathlib import Path

import pytest

PAGE = """\
# Faults that were tried
Written by the tests themselves (`make faults`): each breaks something on purpose, with real processes, signals, disks
and files, and checks that what is promised holds.

| fault | promise | test | result |
|---|---|---|---|
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--reliability", metavar="FILE", type=Path, help="write what the fault tests found to this page")


def pytest_configure(config: pytest.Config) -> None:
    if (page := config.getoption("--reliability")) and not hasattr(config, "workerinput"):  # xdist's main process alone
        config.pluginmanager.register(Findings(page))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if mark := item.get_closest_marker("fault"):
            if len(mark.args) != 2:
                raise pytest.UsageError(f'{item.nodeid}: say what it breaks and what holds: fault("fault", "promise")')
            item.user_properties.append(("fault", mark.args))


class Findings:
    """Gathers the outcomes of fault tests, also those that xdist's workers report."""

    def __init__(self, page: Path) -> None:
        self.page = page
        self.outcomes: dict[tuple[str, str, str], Counter[str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test once: by its call, or by what kept it from being called."""
        texts = [value for name, value in report.user_properties if name == "fault"]
        if texts and (report.when == "call" or report.outcome != "passed"):
            ((fault, promise),) = texts  # pyright: ignore[reportGeneralTypeIssues]
            test = report.nodeid.split("[")[0]
            reason = f": {report.longrepr[2].removeprefix('Skipped: ')}" if isinstance(report.longrepr, tuple) else ""
            self.outcomes.setdefault((fault, promise, test), Counter())[f"{report.outcome}{reason}"] += 1

    def pytest_sessionfinish(self) -> None:
        """Write the page; sorted by test, so that it changes only where a finding does."""
        rows: list[str] = []
        for (fault, promise, test), outcomes in sorted(self.outcomes.items(), key=lambda item: item[0][2]):
            found = ", ".join(outcome if n == 1 else f"{n} {outcome}" for outcome, n in sorted(outcomes.items()))
            rows.append(f"| {fault} | {promise} | `{test}` | {found} |\n")
        self.page.write_text(PAGE + "".join(rows), encoding="utf-8")
