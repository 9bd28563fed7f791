"""The command that judges overwrites nothing but what it measured."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from toybox import card, evaluate
from toybox.world import MODEL_FOLDER

ROOT = Path(__file__).parents[2]
AUTOENCODER = {"object_psnr_db": 30.0, "composited_psnr_db": 26.5}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Figures of the shipped model in a folder of their own; card and sheet would go beside it."""
    model = tmp_path / "model"
    model.mkdir()
    for name in ("evaluation.json", "training.json"):
        (model / name).write_text((MODEL_FOLDER / name).read_text())
    for module in (card, evaluate):
        monkeypatch.setattr(module, "CARD", tmp_path / "README.md")
    monkeypatch.setattr(evaluate, "load_pipeline", lambda folder: SimpleNamespace(vae=None))
    monkeypatch.setattr(evaluate, "judge_autoencoder", lambda vae, batch: AUTOENCODER)
    return tmp_path


def test_quick_run_leaves_figures_and_card_alone(place, monkeypatch):
    work = place / "work"
    grey = torch.full((1, 3, 128, 128), 0.5)
    monkeypatch.setattr(evaluate, "generate", lambda pipeline, captions, seed: grey.repeat(len(captions), 1, 1, 1))
    monkeypatch.setattr(evaluate, "distil_pictures", lambda pipeline, captions, *_: torch.zeros(len(captions), 3, 8, 8))
    before = sorted(path for path in place.rglob("*") if path.is_file())
    assert evaluate.main(["--quick", "--work", str(work)]) == 0
    assert (work / "distilled.png").exists()
    after = sorted(path for path in place.rglob("*") if path.is_file() and work not in path.parents)
    assert after == before


def test_a_part_measured_again_keeps_the_other_figures_and_rewrites_the_card(place, monkeypatch):
    monkeypatch.setattr(evaluate, "MODEL_FOLDER", place / "model")
    arguments = ["--only", "autoencoder", "--model", str(place / "model"), "--work", str(place / "work")]
    assert evaluate.main(arguments) == 0
    old, new = (json.loads((f / "evaluation.json").read_text()) for f in (MODEL_FOLDER, place / "model"))
    assert new == {**old, "autoencoder": AUTOENCODER}
    assert "26.50 dB, 3.50 below | at most 2 below | no |" in (place / "README.md").read_text()
    assert not (place / "contact-sheet.png").exists()  # no pictures were made


def test_the_card_is_written_anew_from_figures_that_stay(place, monkeypatch):
    monkeypatch.setattr(evaluate, "MODEL_FOLDER", place / "model")
    assert evaluate.main(["--only", "card", "--model", str(place / "model"), "--work", str(place / "work")]) == 0
    old, new = (json.loads((f / "evaluation.json").read_text()) for f in (MODEL_FOLDER, place / "model"))
    assert new == old
    assert (place / "README.md").read_text() == (ROOT / "toybox" / "README.md").read_text()


def test_another_models_figures_leave_the_bundled_models_card_alone(place):
    arguments = ["--only", "autoencoder", "--model", str(place / "model"), "--work", str(place / "work")]
    assert evaluate.main(arguments) == 0
    assert json.loads((place / "model" / "evaluation.json").read_text())["autoencoder"] == AUTOENCODER
    assert not (place / "README.md").exists()


def test_a_part_needs_figures_that_it_can_join(place):
    (place / "model" / "evaluation.json").unlink()
    arguments = ["--only", "autoencoder", "--model", str(place / "model"), "--work", str(place / "work")]
    with pytest.raises(SystemExit, match=r"evaluation\.json: no figures yet that --only autoencoder could join; run w"):
        evaluate.main(arguments)
