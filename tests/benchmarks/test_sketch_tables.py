"""Tables of sketches are timed as a user meets them, and nothing of that stays behind."""

import os

import pytest

from benchmarks import sketch_tables
from geometry.sketch import Sketch


def test_the_time_is_of_read_sketch_with_an_empty_cache_on_two_cores(monkeypatch: pytest.MonkeyPatch):
    seen = []
    read = sketch_tables.read_sketch

    def watched(*arguments: object) -> Sketch:
        seen.append((os.environ["XDG_CACHE_HOME"], len(os.sched_getaffinity(0))))
        assert not os.path.exists(os.path.join(seen[-1][0], "latent-nerf"))
        return read(*arguments)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(sketch_tables, "read_sketch", watched)
    monkeypatch.setenv("XDG_CACHE_HOME", "/nowhere")
    before = os.sched_getaffinity(0)
    timing = sketch_tables.time_tables(quick=True)
    assert timing["faces"] == 2 * 40**2
    assert timing["seconds"] > 0
    assert timing["cores"] == seen[0][1] <= 2
    assert seen[0][0] != "/nowhere"
    assert os.environ["XDG_CACHE_HOME"] == "/nowhere"
    assert os.sched_getaffinity(0) == before
