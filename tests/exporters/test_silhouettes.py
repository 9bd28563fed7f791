"""Silhouettes of a ball in closed form."""

import math

import numpy as np
import pytest
import torch
import trimesh

from core.cameras import orbit_cameras
from exporters.silhouettes import silhouette_iou, silhouettes


def test_a_ball_covers_its_disc() -> None:
    ball = trimesh.creation.icosphere(subdivisions=4, radius=0.4)
    ones = torch.ones(2)
    cameras = orbit_cameras(20 * ones, torch.tensor([0.0, 70.0]), 1.6 * ones, 47 * ones, 64, 64)
    seen = silhouettes(np.asarray(ball.vertices), np.asarray(ball.faces), cameras)
    disc = 0.4 / math.sqrt(1.6**2 - 0.4**2) / math.tan(math.radians(47) / 2)  # pictures go from -1 to 1
    assert seen.mean(axis=(1, 2)) == pytest.approx([math.pi * disc**2 / 4] * 2, rel=0.02)


def test_agreement_by_hand() -> None:
    mesh = np.array([[[True, True, False, False]]])
    assert silhouette_iou(mesh, torch.tensor([[[0.9, 0.4, 0.6, 0.0]]])) == pytest.approx(1 / 3)
    assert silhouette_iou(mesh & False, torch.zeros(1, 1, 4)) == 0
