"""The one command that makes the model, end to end at the smallest size: export, snapshot, and training further."""

import json

import pytest
import torch

from toybox import card
from toybox.pipeline import load_pipeline
from toybox.train import main
from toybox.world import MODEL_FOLDER


def test_shipped_weights_can_be_trained_further(tmp_path, monkeypatch):
    out = tmp_path / "model"
    options = ["--views", "1", "--device", "cpu", "--work", str(tmp_path / "work"), "--out", str(out)]
    assert main(["--resume", "--steps", "1", "--coarse", "1", *options]) == 0  # where nothing has begun
    old, new = load_pipeline(MODEL_FOLDER), load_pipeline(out)
    for name, value in old.vae.state_dict().items():
        assert torch.equal(value, new.vae.state_dict()[name]), name  # the autoencoder stays
    shipped = json.loads((MODEL_FOLDER / "training.json").read_text())
    facts = json.loads((out / "training.json").read_text())
    assert facts["autoencoder"] == shipped["autoencoder"]
    assert facts["denoiser"]["before"] == shipped["denoiser"]
    assert facts["denoiser"]["steps"] == 1
    assert main(["--resume", "--steps", "2", *options]) == 0  # where a step was made; small pictures, as it was told
    again = json.loads((out / "training.json").read_text())["denoiser"]
    assert again["before"] == shipped["denoiser"]
    assert [(part["from_step"], part["settings"]["coarse"]) for part in again["history"]] == [(0, 1.0), (1, 1.0)]
    assert again["steps"] == 2
    with pytest.raises(SystemExit, match=r"^toybox.train: .*: buffers of other settings \(views_per_kind 1 instead"):
        main(["--resume", "--views", "2", "--work", str(tmp_path / "work")])

    (out / "evaluation.json").write_text((MODEL_FOLDER / "evaluation.json").read_text())
    monkeypatch.setattr(card, "CARD", tmp_path / "README.md")
    card.write_card(out, ["a red chair"])
    rows = [line for line in (tmp_path / "README.md").read_text().splitlines() if line.startswith("| denoiser")]
    assert len(rows) == 2
    assert rows[1].startswith("| denoiser | 2 |")
