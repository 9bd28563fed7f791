"""Where a training goes on from: its own state first, then the model that it began with."""

import json
from dataclasses import asdict, replace

import pytest

from toybox import beginnings
from toybox.beginnings import earlier_model, has_begun, kept_settings
from toybox.checkpoint import save_state
from toybox.denoiser import DenoiserSettings


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A folder with facts, whose pipeline is told by its name."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "training.json").write_text(json.dumps({"denoiser": {"steps": 7}}))
    monkeypatch.setattr(beginnings, "load_pipeline", lambda path: f"pipeline of {path.name}")
    return folder


def test_what_a_training_began_with_outlives_an_export_over_it(tmp_path, model):
    work = tmp_path / "work"
    first = earlier_model(work, model)
    assert first == ("pipeline of model", {"denoiser": {"steps": 7}})
    (model / "training.json").write_text(json.dumps({"denoiser": {"steps": 9, "before": {"steps": 7}}}))
    assert earlier_model(work, None) == earlier_model(work, model) == first
    with pytest.raises(ValueError, match=r"work: holds a training from .*model, not from .*other: take a new --work$"):
        earlier_model(work, tmp_path / "other")


def test_random_weights_stay_the_beginning(tmp_path, model):
    work = tmp_path / "work"
    assert earlier_model(work, None) is None
    assert not has_begun(work)
    save_state(work / "vae.pt", {})
    assert has_begun(work)
    assert earlier_model(work, None) is None
    with pytest.raises(ValueError, match=r"work: holds a training from random weights, not from .*: take a new"):
        earlier_model(work, model)


def test_a_folder_without_facts_is_no_model_of_ours(tmp_path, model):
    (model / "training.json").unlink()
    with pytest.raises(ValueError, match=r"model: no training\.json, so no model of python -m toybox\.train"):
        earlier_model(tmp_path / "work", model)
    assert not has_begun(tmp_path / "work")


def test_settings_are_those_of_the_last_steps(tmp_path):
    path, first = tmp_path / "denoiser.pt", DenoiserSettings()
    assert kept_settings(path, first) is first
    last = replace(first, steps=99, coarse=0.25)
    history = [{"from_step": 0, "settings": asdict(first)}, {"from_step": 5, "settings": asdict(last)}]
    save_state(path, {"history": history})
    assert kept_settings(path, first) == last
