"""Exports: what is written is what is loaded, and an export that stops half-way loses nothing."""

import json
import os

import pytest
import torch

from toybox.pipeline import export, load_pipeline, put_in_place


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "model"
    pipeline = load_pipeline()
    for _ in range(2):  # the second replaces the first
        export(pipeline, folder, {"steps": 7})
    return folder, pipeline


def test_export_is_loaded_in_one_precision_without_being_told(exported):
    folder, pipeline = exported
    again = type(pipeline).from_pretrained(folder, local_files_only=True)
    for name in ("vae", "unet", "text_encoder"):
        network, original = getattr(again, name), getattr(pipeline, name)
        assert {value.dtype for value in network.parameters()} == {torch.float32}, name
        for key, value in original.state_dict().items():  # the shipped weights are float16 already: nothing is lost
            assert torch.equal(value, network.state_dict()[key]), (name, key)


def test_export_leaves_nothing_beside_the_model(exported):
    folder, _ = exported
    assert [path.name for path in folder.parent.iterdir()] == ["model"]
    assert json.loads((folder / "training.json").read_text()) == {"steps": 7}
    assert not [path for path in folder.rglob("*") if path.name.endswith((".partial", ".old"))]


def test_export_of_a_loaded_network_does_not_say_where_it_lay(exported, tmp_path):
    folder, _ = exported
    export(load_pipeline(folder), tmp_path / "again", {})
    assert all(str(folder) not in config.read_text() for config in (tmp_path / "again").rglob("*.json"))


def test_export_keeps_the_words_and_not_how_texts_were_read_last(exported, tmp_path):
    pipeline = load_pipeline()
    pipeline.tokenizer(["a red mug"], padding="max_length", max_length=32, truncation=True)
    export(pipeline, tmp_path / "read", {})
    own = (tmp_path / "read" / "tokenizer" / "tokenizer.json").read_bytes()
    assert own == (exported[0] / "tokenizer" / "tokenizer.json").read_bytes()


@pytest.mark.parametrize("rename", [0, 1], ids=["before the old part moves", "before the new part moves"])
def test_a_kill_between_renames_keeps_the_old_part_whole(tmp_path, monkeypatch, rename):
    fresh, target, aside = tmp_path / "fresh", tmp_path / "model" / "unet", tmp_path / "model.old"
    for folder, text in ((fresh, "new"), (target, "old")):
        folder.mkdir(parents=True)
        (folder / "weights").write_text(text)
    monkeypatch.setattr("toybox.pipeline.os.replace", _killed_at(rename))
    with pytest.raises(InterruptedError):
        put_in_place(fresh, target, aside)
    monkeypatch.undo()
    old = target if rename == 0 else aside / "unet"
    assert (old / "weights").read_text() == "old"
    assert (fresh / "weights").read_text() == "new"
    put_in_place(fresh, target, aside)
    assert (target / "weights").read_text() == "new"
    assert (aside / "unet" / "weights").read_text() == "old"


def _killed_at(rename):
    real, calls = os.replace, []

    def replace(source, target):
        if len(calls) == rename:
            raise InterruptedError
        calls.append(source)
        real(source, target)

    return replace
