"""The examples are short, and the parts that they make do what they say."""

from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from plyfile import PlyData

from app.api import train
from core.errors import UserError
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
