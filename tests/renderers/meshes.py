"""Small meshes for tests."""

import numpy as np
import torch
import trimesh
from torch import Tensor


def bumpy_ball(n_subdivisions: int = 2, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A closed surface without symmetry: a sphere of radius 0.5 with bumps. Vertices and faces."""
    ball = trimesh.creation.icosphere(subdivisions=n_subdivisions, radius=0.5)
    bumps = np.random.default_rng(seed).uniform(0.75, 1.0, (len(ball.vertices), 1))
    return torch.tensor(ball.vertices * bumps).float(), torch.tensor(np.asarray(ball.faces)).long()


def crossing_sheets(n_faces: int = 40, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Triangles anywhere in the scene, cutting through each other; no surface, so both of their sides are seen."""
    corners = torch.rand(n_faces * 3, 3, generator=torch.Generator().manual_seed(seed)) - 0.5
    return corners, torch.arange(n_faces * 3).view(-1, 3)
