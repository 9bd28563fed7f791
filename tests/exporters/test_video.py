"""Turntables, read back by ffmpeg and Pillow."""

import gc
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from core.errors import UserError
from exporters.contact_sheet import ContactSheet
from exporters.video import Turntable, turntable_frames, write_mp4
from tests.systems.small_systems import fitting_system


def test_one_turn_ends_before_it_begins_again():
    system = fitting_system(1, size=8)
    system.set_up()
    frames = list(turntable_frames(system, 4))
    assert len(frames) == 4
    assert {frame.shape for frame in frames} == {(256, 3 * 256, 3)}
    assert len({frame.tobytes() for frame in frames}) == 4


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_mp4_shows_the_frames(tmp_path: Path):
    levels = (0, 80, 160, 240)
    frames = (np.full((64, 96, 3), level, np.uint8) for level in levels)
    path = write_mp4(tmp_path / "turn.mp4", frames, 16)
    reader = imageio_ffmpeg.read_frames(path)
    meta = next(reader)
    assert (meta["size"], meta["fps"], meta["codec"]) == ((96, 64), 16, "h264")
    shown = [np.frombuffer(frame, np.uint8).mean() for frame in reader]
    gc.collect()  # imageio-ffmpeg leaves the closing of its pipes to the garbage collector, which warns
    assert shown == pytest.approx(levels, abs=6)
    assert list(tmp_path.iterdir()) == [path]


def test_turntable_and_sheet_land_in_the_run_folder(tmp_path: Path):
    system = fitting_system(1, size=8)
    system.set_up()
    made = [
        *Turntable(Turntable.Config(n_frames=2)).export(system, tmp_path),
        *ContactSheet(ContactSheet.Config(n_views=2)).export(system, tmp_path),
    ]
    assert [path.name for path in made] == ["turntable.mp4", "contact_sheet.png"]
    assert all(path.stat().st_size > 0 for path in made)


@pytest.mark.parametrize("settings", [{"n_frames": 0}, {"frames_per_second": 0}])
def test_settings_out_of_range(settings: dict[str, int]):
    with pytest.raises(UserError, match=r"(at least 1|frames_per_second: from 1 to 240), got 0"):
        Turntable.Config(**settings)
