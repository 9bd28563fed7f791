"""The ControlNet of depth: it begins as nothing, learns in front of a frozen denoiser, and goes on after a stop."""

import json

import numpy as np
import pytest
import torch

from toybox import control_command, control_evaluate
from toybox.buffers import View, view_rays
from toybox.captions import Subject
from toybox.control import ControlSettings, controlled, depth_pictures, new_control
from toybox.control_command import load_control
from toybox.data import caster_of
from toybox.denoiser import Denoiser
from toybox.evaluate import main as evaluate
from toybox.latents import diffusers
from toybox.pipeline import load_pipeline
from toybox.scenes import build
from toybox.train import main
from toybox.world import MODEL_FOLDER

VIEW = View(10, 30, 1.6, 47)


@pytest.fixture(scope="module")
def denoiser():
    return Denoiser.of(load_pipeline()).eval().requires_grad_(False)


def test_depth_is_that_of_the_mesh_along_the_axis():
    """By trimesh, through some pixels."""
    depth = caster_of("mug").depth(VIEW, 16)
    origin, directions = view_rays(VIEW, 16)
    flat = directions.reshape(-1, 3)
    points, ray, _ = build("mug").mesh.ray.intersects_location(np.tile(origin, (256, 1)), flat, multiple_hits=False)
    along = (points - origin) @ (-origin / np.linalg.norm(origin))
    assert set(np.flatnonzero(depth)) == set(ray)
    np.testing.assert_allclose(depth.reshape(-1)[ray], along, atol=1e-4)


def test_pictures_are_bright_where_the_object_is_near():
    picture = depth_pictures([Subject("mug", "red")], [VIEW], 32)[0]
    depth = torch.from_numpy(caster_of("mug").depth(VIEW, 32))
    assert picture.shape == (3, 32, 32)
    torch.testing.assert_close(picture[1][depth > 0], depth[depth > 0].min() / depth[depth > 0])
    assert not picture[:, depth == 0].any()
    assert float(picture.max()) == 1


def test_an_untrained_one_changes_nothing_and_each_of_its_weights_counts(denoiser):
    """Where its zeros are weights, all that was copied has a gradient."""
    control = new_control(denoiser.unet)
    noisy, timestep = torch.randn(2, 4, 16, 16), torch.tensor([100, 700])
    shown, captions = torch.rand(2, 3, 64, 64), ["a red mug", ""]
    with torch.no_grad():
        plain = denoiser(noisy, timestep, captions)
        assert torch.equal(controlled(denoiser, control, shown, noisy, timestep, captions), plain)
        for weight in control.parameters():
            weight.add_(torch.randn(weight.shape), alpha=0.01)
    answer = controlled(denoiser, control, shown, noisy, timestep, captions)
    assert not torch.allclose(answer, plain)
    answer.square().mean().backward()
    assert [name for name, weight in control.named_parameters() if weight.grad is None] == []


def test_the_command_goes_on_and_exports_what_stock_classes_load(tmp_path, monkeypatch, capsys):
    settings = ControlSettings(steps=2, coarse=1.0, coarse_batch=2, save_every=1)
    monkeypatch.setattr(control_command, "ControlSettings", lambda: settings)
    out, work = tmp_path / "depth", tmp_path / "work"
    options = ["--control", "--work", str(work), "--out", str(out)]
    with pytest.raises(SystemExit, match=r"control\.pt: no checkpoint yet; run without --snapshot first"):
        main([*options, "--snapshot"])
    assert main(options) == 0
    whole = torch.load(work / "control.pt", weights_only=True)
    assert main(["--control", "--work", str(tmp_path / "other"), "--out", str(out), "--steps", "1"]) == 0
    assert main(["--control", "--work", str(tmp_path / "other"), "--out", str(out), "--steps", "2"]) == 0
    again = torch.load(tmp_path / "other" / "control.pt", weights_only=True)
    assert again["losses"][0] == whole["losses"][0]  # the rate of the second step follows the number of steps
    assert "python -m toybox.evaluate --control" in capsys.readouterr().out
    facts = json.loads((out / "training.json").read_text())["ControlNet"]
    assert [part["from_step"] for part in facts["history"]] == [0, 1]

    loaded = diffusers.ControlNetModel.from_pretrained(out, local_files_only=True, dtype=torch.float32)
    for name, value in loaded.state_dict().items():
        torch.testing.assert_close(value, again["average"][name].half().float(), rtol=0, atol=0)
    assert sum(file.stat().st_size for file in out.iterdir()) < 16 * 2**20
    assert json.loads((out / "config.json").read_text()).get("_name_or_path") is None
    assert not list(tmp_path.glob("*.partial"))


def test_the_card_tells_what_was_measured(tmp_path, monkeypatch):
    """The whole evaluation, with a model that draws what it is shown."""

    def draw(control, captions, conditions, scale):
        return 0.5 + 0.4 * conditions if scale else torch.full(conditions.shape, 0.5)

    monkeypatch.setattr(control_evaluate, "drawn", draw)
    monkeypatch.setattr(control_evaluate, "load_control", lambda folder: None)
    facts = json.loads((MODEL_FOLDER / "training.json").read_text())
    (tmp_path / "training.json").write_text(json.dumps({**facts, "ControlNet": facts["denoiser"]}))
    assert evaluate(["--control", "--quick", "--model", str(tmp_path)]) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["training.json"]
    assert evaluate(["--control", "--model", str(tmp_path)]) == 0
    figures = json.loads((tmp_path / "evaluation.json").read_text())
    assert figures["with"]["outline"] > 0.99
    assert figures["without"]["outline"] == 0
    card = (tmp_path / "README.md").read_text()
    assert f"| outline's overlap with the one shown, mean | {figures['with']['outline']:.3f} | 0.000 |" in card
    assert "| ControlNet | " in card
    assert (tmp_path / "contact-sheet.png").is_file()


def test_pictures_are_drawn_by_diffusers_own_pipeline(tmp_path, monkeypatch):
    monkeypatch.setattr(control_evaluate, "SAMPLING_STEPS", 2)
    control = new_control(load_pipeline().unet)
    control_command.export_control(control, tmp_path / "depth", {})
    shown = depth_pictures([Subject("mug", "red")] * 2, [VIEW] * 2, 128)
    made = control_evaluate.drawn(load_control(tmp_path / "depth"), ["a red mug", "a blue mug"], shown, 1.0)
    assert made.shape == (2, 3, 128, 128)
