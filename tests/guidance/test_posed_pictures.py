"""Folders of pictures with cameras."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core.cameras import orbit_cameras
from core.errors import UserError
from guidance.posed_pictures import read_posed_pictures

VIEW = {"file": "0.png", "elevation_deg": 20, "azimuth_deg": 90, "radius": 1.5, "fovy_deg": 45}


def _folder(folder: Path, views: object) -> Path:
    (folder / "cameras.json").write_text(json.dumps(views))
    halves = np.zeros((4, 4, 3), np.uint8)
    halves[:, 2:] = 255
    Image.fromarray(halves).save(folder / "0.png")
    return folder


def test_pictures_and_cameras_in_the_order_of_the_list(tmp_path: Path):
    views = read_posed_pictures(_folder(tmp_path, [VIEW, {**VIEW, "azimuth_deg": 0}]))
    torch.testing.assert_close(views.cameras.c2w[1, :3, 3].norm(), torch.tensor(1.5))
    assert views.pictures(2)[0, :, :, 0].tolist() == [[0, 1], [0, 1]]
    assert views.pictures(1)[0].flatten().tolist() == pytest.approx([0.5, 0.5, 0.5, 1], abs=0.01)
    assert views.index_of(views.cameras[1:2]).tolist() == [1]


def test_a_camera_that_is_not_in_the_list_is_refused(tmp_path: Path):
    views = read_posed_pictures(_folder(tmp_path, [VIEW]))
    other = orbit_cameras(torch.tensor([20.0]), torch.tensor([80.0]), torch.tensor([1.5]), torch.tensor([45.0]), 4, 4)
    with pytest.raises(ValueError, match="does not hold"):
        views.index_of(other)


@pytest.mark.parametrize(
    ("views", "complaint"),
    [
        ([], "an empty list of views"),
        ([{"file": "0.png"}], "a view without 'elevation_deg'"),
        ([{**VIEW, "file": "../0.png"}], "'../0.png' is not the name of a file in this folder"),
        ([{**VIEW, "radius": "far"}], "could not convert"),
    ],
)
def test_a_faulty_list_is_named(tmp_path: Path, views: object, complaint: str):
    with pytest.raises(UserError, match=complaint):
        read_posed_pictures(_folder(tmp_path, views))


def test_missing_files_are_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"cameras\.json: no such file"):
        read_posed_pictures(tmp_path)
    views = read_posed_pictures(_folder(tmp_path, [{**VIEW, "file": "1.png"}]))
    with pytest.raises(UserError, match=r"1\.png: cannot be read as a picture"):
        views.pictures(4)
