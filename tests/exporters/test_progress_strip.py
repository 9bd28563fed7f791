"""The strip shows the front view of each preview, in order, and what the training ended with."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import UserError
from exporters.progress_strip import LABEL_HEIGHT, ProgressStrip, earlier_previews, labelled_strip
from systems.contact_sheet import GAP, N_ROWS, contact_sheet, first_tile, save_png, view_pictures
from tests.systems.small_systems import fitting_system

SIDE = 16


def _preview(folder: Path, step: int, level: int) -> None:
    sheet = np.full((N_ROWS * (SIDE + GAP) - GAP, 2 * (SIDE + GAP) - GAP, 3), 255, np.uint8)
    sheet[:SIDE, :SIDE] = level
    save_png(folder / "previews" / f"step-{step:06d}.png", sheet)


def test_the_first_tile_of_a_sheet_is_its_first_view() -> None:
    system = fitting_system(1, size=8)
    system.set_up()
    sheet = contact_sheet(system, 3)
    front = view_pictures(system, system.validation_cameras(1, 8))["colour"][0]
    assert first_tile(sheet, N_ROWS) / 255 == pytest.approx(front.numpy(), abs=0.5 / 255 + 1e-6)


def test_moments_in_order_and_the_end_last(tmp_path: Path) -> None:
    for step, level in ((30, 90), (4, 10), (200, 250)):
        _preview(tmp_path, step, level)
    (tmp_path / "previews" / "validation.png").write_bytes(b"")
    system = fitting_system(100, size=SIDE)
    system.set_up()
    (path,) = ProgressStrip(ProgressStrip.Config()).export(system, tmp_path)
    strip = np.asarray(Image.open(path))
    assert strip.shape == (SIDE + LABEL_HEIGHT, 3 * (SIDE + GAP) - GAP, 3)  # step 200 is not yet: the run has 100
    assert strip[:SIDE, :SIDE].mean() == 10
    assert strip[:SIDE, SIDE + GAP : 2 * SIDE + GAP].mean() == 90


def test_of_many_previews_evenly_spaced_ones(tmp_path: Path) -> None:
    for step in range(10):
        _preview(tmp_path, step, 10 * step)
    system = fitting_system(100, size=SIDE)
    system.set_up()
    (path,) = ProgressStrip(ProgressStrip.Config(n_moments=4)).export(system, tmp_path)
    strip = np.asarray(Image.open(path))
    shown = [strip[:SIDE, i * (SIDE + GAP)].mean() for i in range(3)]
    assert shown == [0, 40, 90]


def test_what_is_no_picture_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _preview(tmp_path, 3, 50)
    (tmp_path / "previews" / "step-000004.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    os.mkfifo(tmp_path / "previews" / "step-000005.png")
    system = fitting_system(100, size=SIDE)
    system.set_up()
    (path,) = ProgressStrip(ProgressStrip.Config()).export(system, tmp_path)
    assert np.asarray(Image.open(path)).shape[1] == 2 * (SIDE + GAP) - GAP
    assert "step-000004.png is left out of the strip: " in caplog.text


def test_a_run_without_previews_shows_its_end(tmp_path: Path) -> None:
    assert earlier_previews(tmp_path, 100) == []
    one = labelled_strip([(5, np.zeros((SIDE, SIDE, 3), np.uint8))])
    assert one.shape == (SIDE + LABEL_HEIGHT, SIDE, 3)
    assert (one[SIDE:] < 128).any()  # the step is written


def test_settings_out_of_range() -> None:
    with pytest.raises(UserError, match="n_moments: at least 1, got 0"):
        ProgressStrip.Config(n_moments=0)
