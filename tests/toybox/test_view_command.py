"""The one command that makes the multi-view model, end to end at the smallest size, and the card of its figures."""

import json
import re

import pytest
import torch

from toybox import view_command, view_evaluate, view_plan, view_sets
from toybox.latents import diffusers
from toybox.told_cameras import CONVENTION, POSE_NUMBERS, RAY_CHANNELS
from toybox.train import main
from toybox.view_card import write_view_card
from toybox.view_command import load_multiview
from toybox.view_evaluate import evaluate_multiview
from toybox.view_figures import ViewRequest, true_pictures
from toybox.view_plan import ViewSettings
from toybox.world import MODEL_FOLDER, load_world


@pytest.fixture
def small(monkeypatch):
    settings = ViewSettings(mean_steps=1, coarse_steps=1, fine_steps=0, coarse_batch=4, first_sets=1, save_every=1)
    monkeypatch.setattr(view_command, "ViewSettings", lambda: settings)
    monkeypatch.setattr(view_command, "show_mean_pictures", lambda vae, work: None)
    for module in (view_sets, view_plan):
        monkeypatch.setattr(module, "SET_OBJECTS", 4)


def test_shipped_weights_become_a_folder_that_stock_classes_load(small, tmp_path, capsys):
    out, work = tmp_path / "out", tmp_path / "work"
    options = ["--multiview", "--no-compile", "--work", str(work), "--out", str(out)]
    with pytest.raises(SystemExit, match=r"multiview\.pt: no checkpoint yet; run without --snapshot first"):
        main([*options, "--snapshot"])
    assert main([*options, "--until", "data", "--seed", "9"]) == 0
    assert len(list((work / "views-16-9").iterdir())) == 1
    assert main([*options, "--until", "denoiser"]) == 0
    assert not out.exists()
    assert main([*options, "--snapshot"]) == 0
    assert "python -m toybox.evaluate --multiview" in capsys.readouterr().out

    unet = diffusers.UNet2DConditionModel.from_pretrained(out / "unet")
    assert unet.config.in_channels == 4 + RAY_CHANNELS
    assert unet.config.sample_size == 16
    assert unet.config.projection_class_embeddings_input_dim == POSE_NUMBERS
    assert json.loads((out / "cameras.json").read_text()) == CONVENTION
    denoiser, vae = load_multiview(out)
    saved = torch.load(work / "multiview.pt", weights_only=True)["average"]
    for name, value in denoiser.state_dict().items():
        torch.testing.assert_close(value, saved[name].half().float(), rtol=0, atol=0)
    stock = diffusers.AutoencoderKL.from_pretrained(MODEL_FOLDER / "vae")
    assert all(torch.equal(vae.state_dict()[name], value) for name, value in stock.state_dict().items())
    facts = json.loads((out / "training.json").read_text())
    assert facts["denoiser"]["steps"] == 2
    assert facts["denoiser"]["before"] == json.loads((MODEL_FOLDER / "training.json").read_text())["denoiser"]

    assert main([*options, "--coarse-steps", "2"]) == 0  # goes on, with the settings that it had
    facts = json.loads((out / "training.json").read_text())["denoiser"]
    assert [(part["from_step"], part["settings"]["coarse_steps"]) for part in facts["history"]] == [(0, 1), (2, 2)]
    assert facts["steps"] == 3


def test_true_pictures_meet_every_floor_and_the_card_says_so(tmp_path, monkeypatch):
    """The whole evaluation with a model that draws what is there."""

    def draw(denoiser, vae, asked: list[ViewRequest], size: int, name: str) -> torch.Tensor:
        backgrounds = torch.tensor([0.6, 0.74, 0.86])
        return torch.stack([true_pictures(r, backgrounds.expand(len(r.views), -1), 4 * size) for r in asked])

    monkeypatch.setattr(view_evaluate, "_draw", draw)
    monkeypatch.setattr(view_evaluate, "load_multiview", lambda folder: (None, None))
    facts = json.loads((MODEL_FOLDER / "training.json").read_text())
    (tmp_path / "training.json").write_text(json.dumps(facts))
    assert evaluate_multiview(["--model", str(tmp_path), "--size", "16"]) == 0
    figures = json.loads((tmp_path / "evaluation.json").read_text())
    assert figures["hull"]["mean"] == 1.0
    assert figures["object"]["count"] == 600
    assert figures["object"]["share"] > 0.95
    assert list(figures["hull"]["by_kind"]) == list(load_world().kinds)
    card = (tmp_path / "README.md").read_text()
    assert re.search(r"overlaps the true one by\n1\.00 .*; met:\nyes\)", card, re.DOTALL)
    assert "16 x 16 latents" in card
    assert (tmp_path / "contact-sheet.png").exists()


def test_a_quick_evaluation_writes_nothing(tmp_path, monkeypatch):
    def grey(denoiser, vae, asked, size, name):
        return torch.full((len(asked), len(asked[0].views), 3, 4 * size, 4 * size), 0.5)

    monkeypatch.setattr(view_evaluate, "_draw", grey)
    monkeypatch.setattr(view_evaluate, "load_multiview", lambda folder: (None, None))
    assert evaluate_multiview(["--quick", "--size", "16", "--model", str(tmp_path)]) == 0
    assert list(tmp_path.iterdir()) == []


def test_the_card_says_what_is_missed(tmp_path):
    share = {"share": 0.9, "low": 0.87, "high": 0.92, "count": 600}
    names = ("object", "object_seen", "object_unseen", "colour", "azimuth", "one_colour")
    words = {"car": 0.5, "bed": 0.25, "mug": 1.0}
    figures = dict.fromkeys(names, share) | {
        "object_by_kind": words,
        "object_by_view": words,
        "azimuth_by_kind": words,
        "hull": {"mean": 0.84, "by_kind": words},
        "latent_size": 16,
    }
    (tmp_path / "evaluation.json").write_text(json.dumps(figures))
    (tmp_path / "training.json").write_text((MODEL_FOLDER / "training.json").read_text())
    write_view_card(tmp_path, ["a red car"])
    card = (tmp_path / "README.md").read_text()
    assert card.count("| 90.0% | 87.0 - 92.0% | 600 |") == 3
    assert card.count("| no |") == 3
    assert "0.84 (intersection over union, mean over kinds; floor 0.85; met:\nno)" in card
    assert "bed 25%, car 50%, mug 100%" in card


def test_a_folder_without_cameras_is_refused_in_one_line():
    with pytest.raises(SystemExit, match=r"^toybox.evaluate: .*model: no cameras\.json, so no multi-view model: see"):
        evaluate_multiview(["--model", str(MODEL_FOLDER)])
