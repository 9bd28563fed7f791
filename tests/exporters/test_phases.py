"""What exporters do and find, kept beside each other."""

from pathlib import Path

import pytest

from exporters.phases import RECORD, Phases, keep_record, read_record


def test_seconds_of_a_phase_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 2.5, 10.0, 11.0])
    monkeypatch.setattr("exporters.phases.time.monotonic", lambda: next(clock))
    phases = Phases("mesh")
    for _ in range(2):
        with phases.phase("bake", total=3) as bar:
            bar.update()
    assert phases.seconds == {"bake": 3.5}


def test_a_phase_that_fails_is_counted_too() -> None:
    phases = Phases("mesh")
    with pytest.raises(OSError, match="full"), phases.phase("write"):
        raise OSError("full")
    assert list(phases.seconds) == ["write"]


def test_records_of_several_exporters_stand_beside_each_other(tmp_path: Path) -> None:
    keep_record(tmp_path, "mesh", {"faces": 3}, {"write": 1.0})
    keep_record(tmp_path, "turntable", {}, {"render": 2.0})
    keep_record(tmp_path, "mesh", {"faces": 4}, {"write": 1.5})
    assert read_record(tmp_path) == {
        "mesh": {"figures": {"faces": 4}, "seconds": {"write": 1.5}},
        "turntable": {"figures": {}, "seconds": {"render": 2.0}},
    }


@pytest.mark.parametrize("content", ["", "[1]", "{"])
def test_a_broken_record_is_begun_anew(content: str, tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text(content)
    assert read_record(tmp_path) == {}
