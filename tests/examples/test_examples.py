"""The examples are short, and the parts that they make do what they say."""

import math
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import nbformat
import numpy as np
import pytest
import torch
from plyfile import PlyData

from app.api import train
from core.errors import UserError
from core.kinds import Geometry, Renderer
from core.part import find
from core.plugins import load_plugin
from guidance.latent_sds import LatentSDS, NoisyLatents
from tests.app.small_command import EXAMPLE, small_overrides

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("my_*.py")), ids=lambda path: path.stem)
def test_each_is_read_in_a_minute(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 60
    assert path.with_suffix(".yaml").is_file()


def test_the_notebook_too() -> None:
    notebook = nbformat.read(EXAMPLES / "notebook.ipynb", as_version=4)
    assert sum(len(cell.source.splitlines()) for cell in notebook.cells) < 60


def test_the_points_of_the_cloud_lie_where_the_ball_is(tmp_path: Path) -> None:
    overrides = [*small_overrides(tmp_path, n_views=12), "trainer.max_steps=60", "exporters=[{type: point-cloud}]"]
    run = train(EXAMPLE, "a ball", overrides=overrides, plugins=[EXAMPLES / "my_exporter.py"], out=tmp_path / "runs")
    (path,) = run.files
    points = np.stack([PlyData.read(path)["vertex"][axis] for axis in "xyz"], axis=1)
    assert len(points) > 100
    assert np.median(np.abs(np.linalg.norm(points, axis=1) - 0.4)) < 0.12


def test_the_loss_of_a_slope_is_its_rise_from_pixel_to_pixel() -> None:
    load_plugin(EXAMPLES / "my_loss.py")
    part: Any = find("loss", "smooth-depth")
    loss = part(part.Config(), Mock(spec=Geometry), Mock(spec=Renderer))
    depth = torch.tensor([[[1.0, 1.5], [1.0, 1.5]]])  # one view of two rows: nothing down, 0.5 across
    now = Mock(render=Mock(depth=depth, opacity=torch.ones_like(depth)))
    assert loss.forward(now) == pytest.approx(0.5)
    now.render.opacity = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    assert loss.forward(now) == 0, "what sees no object does not count"


def test_the_field_is_its_grid_between_its_points_and_nothing_outside() -> None:
    load_plugin(EXAMPLES / "my_field.py")
    part: Any = find("geometry", "voxels")
    field = part(part.Config(resolution=3, bound=0.6), n_channels=4)
    with torch.no_grad():
        field.grid.zero_()
        field.grid[0, 0, 1, 1, 1] = math.log(8)  # the density's logarithm in the middle
        field.grid[0, 1, 1, 1, 2] = 5.0  # the first channel at x = 0.6
    out = field(torch.tensor([[0.0, 0.0, 0.0], [0.3, 0.0, 0.0], [0.7, 0.0, 0.0]]))
    assert out.density.tolist() == pytest.approx([8.0, 8.0**0.5, 0.0])
    assert out.features[:2, 0].tolist() == pytest.approx([0.0, 2.5])


def test_the_bold_guidance_is_the_plain_one_where_there_is_no_noise_or_no_boldness() -> None:
    load_plugin(EXAMPLES / "my_guidance.py")
    part = find("guidance", "bold-sds")
    with pytest.raises(UserError, match=r"^boldness: at least 0, got -1$"):
        part.Config(model="toybox", boldness=-1.0)
    bold = part.__new__(part)
    assert isinstance(bold, LatentSDS)
    torch.nn.Module.__init__(bold)
    bold.config, bold.timestep_weight = part.Config(model="toybox", boldness=2.0), torch.ones(1000)
    noise, sigma = torch.randn(2, 4, 4, 4), torch.tensor([0.0, 0.5])
    noisy = NoisyLatents(noise, noise, torch.tensor([0, 500]), torch.ones(2), sigma)
    gradient = bold.gradient(noisy, noise + 1)
    assert torch.allclose(gradient[0], torch.ones(4, 4, 4), atol=1e-5)
    assert torch.allclose(gradient[1], torch.full((4, 4, 4), 2.0), atol=1e-5)
