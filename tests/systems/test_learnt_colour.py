"""What textual inversion is for: a thing in a colour that the bundled model has no word for, from five pictures."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from app import api
from toybox.buffers import SUPERSAMPLING, random_view
from toybox.data import MOST_PARTS, caster_of
from toybox.scenes import FIXED, build
from toybox.shading import paint, training_light
from toybox.world import load_world

RECIPE = Path(__file__).parents[2] / "configs" / "textual-inversion.yaml"
TEAL = (0.05, 0.62, 0.60)
N_PICTURES, SIZE = 5, 128


def write_pictures(folder: Path) -> Path:
    """A teal mushroom from five sides, with its cameras."""
    folder.mkdir()
    rng = np.random.default_rng(5)
    views = [random_view(rng) for _ in range(N_PICTURES)]
    buffers = [caster_of("mushroom").cast(view, SIZE * SUPERSAMPLING) for view in views]
    parts, normals = (torch.from_numpy(np.stack(maps)) for maps in zip(*buffers, strict=True))
    colours = torch.zeros(N_PICTURES, MOST_PARTS, 3)
    for i, part in enumerate(build("mushroom").parts):
        fixed = FIXED.get(part.paint.removeprefix("second:"))
        colours[:, i] = torch.tensor(TEAL if fixed is None else fixed)
    backgrounds = torch.tensor(list(load_world().backgrounds.values()))[:N_PICTURES]
    pictures, _ = paint(parts, normals, colours, backgrounds, training_light(N_PICTURES))
    known = []
    for i, (picture, view) in enumerate(zip(pictures, views, strict=True)):
        Image.fromarray((picture.movedim(0, -1) * 255).byte().numpy()).save(folder / f"{i}.png")
        angles = {name: getattr(view, name) for name in ("elevation_deg", "azimuth_deg", "radius", "fovy_deg")}
        known.append({"file": f"{i}.png", **angles})
    (folder / "cameras.json").write_text(json.dumps(known))
    return folder


def hue(pictures: Tensor) -> Tensor:
    """The colour of the most coloured tenth of all pixels, its brightest channel 1."""
    pixels = pictures.reshape(-1, 3)
    saturation = 1 - pixels.amin(dim=1) / pixels.amax(dim=1).clamp_min(1e-3)
    colour = pixels[saturation.topk(len(pixels) // 10).indices].median(dim=0).values
    return colour / colour.max()


@pytest.mark.slow
def test_an_eleventh_colour_is_learnt_from_five_pictures(tmp_path: Path):
    folder = write_pictures(tmp_path / "pictures")
    overrides = [f"system.pictures={folder}", "trainer.max_steps=150", "trainer.preview_every=0"]
    run = api.train(RECIPE, out=tmp_path / "runs", overrides=overrides, device="cpu", export=False)
    drawn = hue(run.decode(run.render(run.cameras(4)).latents))
    named = {**load_world().colours, "teal": TEAL}
    nearest = min(named, key=lambda name: float((hue(torch.tensor([named[name]] * 10)) - drawn).norm()))
    assert nearest == "teal", f"what is drawn has the hue {drawn.tolist()}"
