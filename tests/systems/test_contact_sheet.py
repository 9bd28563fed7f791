"""What the pictures show."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core.types import RenderOutput
from systems.contact_sheet import GAP, contact_sheet, save_png, shown_depth, shown_normals, shown_opacity, tiled
from tests.systems.small_systems import fitting_system


def _render(opacity: float, depth: list[float], normal: tuple[float, float, float] = (0.0, 1.0, 0.0)) -> RenderOutput:
    n = len(depth)
    alpha = torch.full((1, 1, n), opacity)
    latents = torch.zeros(1, 1, n, 3)
    normals = torch.tensor(normal).expand(1, 1, n, 3) * opacity
    return RenderOutput(latents, alpha, torch.tensor(depth)[None, None], normals, latents, None)


def test_near_is_bright_and_far_is_dark():
    shown = shown_depth(_render(1.0, [1.0, 1.5, 2.0]))[0, 0, :, 0]
    assert shown.tolist() == [1.0, 0.625, 0.25]


def test_nothing_is_black():
    empty = _render(0.0, [0.0, 0.0])
    for picture in (shown_depth(empty), shown_normals(empty), shown_opacity(empty)):
        assert picture.shape == (1, 1, 2, 3)
        assert float(picture.abs().max()) == 0


def test_up_is_green_in_the_normals():
    torch.testing.assert_close(shown_normals(_render(1.0, [1.0]))[0, 0, 0], torch.tensor([0.5, 1.0, 0.5]))


def test_normals_must_have_been_rendered():
    with pytest.raises(ValueError, match="with_normals=True"):
        shown_normals(
            RenderOutput(
                *(torch.zeros(1, 1, 1, 3), torch.zeros(1, 1, 1), torch.zeros(1, 1, 1)),
                None,
                torch.zeros(1, 1, 1, 3),
                None,
            )
        )


def test_tiles_stand_in_reading_order_with_gaps():
    rows = [[torch.full((2, 3, 3), (2 * i + j) / 4) for j in range(2)] for i in range(2)]
    sheet = tiled(rows)
    assert sheet.shape == (2 * 2 + GAP, 2 * 3 + GAP, 3)
    assert [int(sheet[y, x, 0]) for y in (0, -1) for x in (0, -1)] == [0, 64, 128, 191]
    assert int(sheet[2, 0, 0]) == 255


def test_a_sheet_has_a_column_per_view_and_four_rows(tmp_path: Path):
    system = fitting_system(1)
    system.set_up()
    sheet = contact_sheet(system, n_views=3)
    assert sheet.shape == (4 * (16 + GAP) - GAP, 3 * (16 + GAP) - GAP, 3)
    twice = contact_sheet(system, n_views=1, magnify=2)
    assert twice.shape == (4 * (32 + GAP) - GAP, 32, 3)
    path = save_png(tmp_path / "deep" / "sheet.png", sheet)
    assert np.array_equal(np.asarray(Image.open(path)), sheet)
