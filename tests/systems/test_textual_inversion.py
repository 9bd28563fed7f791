"""Textual inversion from a folder of pictures to a file that other runs read."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from app import api
from core.chance import stream
from core.errors import UserError
from core.kinds import Exporter
from core.part import Choice
from core.schedule import Schedule
from exporters.learnt_word import LearntWordFile
from exporters.mesh import MeshExporter
from exporters.painted_mesh import PaintedMesh
from guidance.latent_sds import LatentSDS
from guidance.textual_inversion import EmbeddingFile, read_word
from systems.latent_nerf import LatentNeRF
from systems.textual_inversion import TextualInversion
from tests.tiny_pipelines import make_tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model."""
    return make_tiny_model(tmp_path_factory.mktemp("model"))


def _pictures(folder: Path, n: int = 3, **cameras: float) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(n):
        Image.fromarray(rng.integers(0, 255, (20, 24, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    if cameras:
        (folder / "cameras.json").write_text(json.dumps([{"file": f"{i}.png", **cameras} for i in range(n)]))
    return folder


RECIPE = """
prompt: a <thing>
trainer: {{max_steps: 4, preview_every: 0, checkpoint_every: 2, precision: 32-true}}
system:
  type: textual-inversion
  pictures: {pictures}
  begin: cat
  captions: ["a {{}}"]
  guidance: {{type: latent-sds, model: {model}, guidance_scale: 2}}
exporters: [{{type: learnt-word}}]
"""


def test_from_pictures_to_a_file_and_on(model: Path, tmp_path: Path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.format(pictures=_pictures(tmp_path / "pictures"), model=model))
    whole = api.train(recipe, out=tmp_path / "whole", device="cpu")
    word = read_word(EmbeddingFile(whole.folder / "learned_embeds.safetensors"))
    assert word.token == "<thing>"
    assert torch.equal(word.vectors[0], whole.system.state_dict()["learner.tables.0.vectors"])
    assert [path.name for path in whole.files] == ["learned_embeds.safetensors", "learned_word.png"]
    begun = api.train(recipe, out=tmp_path / "parts", device="cpu", overrides=["trainer.max_steps=2"], export=False)
    resumed = api.train(recipe, out=tmp_path / "parts", device="cpu", resume=begun.folder)
    vectors = [run.system.state_dict()["learner.tables.0.vectors"] for run in (whole, begun, resumed)]
    assert torch.equal(vectors[0], vectors[2]), "resuming is exact"
    assert not torch.equal(vectors[0], vectors[1])


def _system(pictures: Path, model: Path, **settings: object) -> TextualInversion:
    guidance = Choice.of(LatentSDS, model=str(model), guidance_scale=Schedule.constant(2.0))
    fixed = {"captions": ("a {}",), "begin": "cat", **settings}
    system = TextualInversion(
        TextualInversion.Config(pictures=pictures, guidance=guidance, **fixed), "a <thing>", 0, 10
    )
    system.set_up()
    return system


def test_a_picture_is_told_with_the_word_for_its_view(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    behind = {"elevation_deg": 10, "azimuth_deg": 180, "radius": 1.6, "fovy_deg": 47}
    told: list[str] = []
    for name, cameras, expected in (("posed", behind, "a <thing>, back view"), ("plain", {}, "a <thing>")):
        system = _system(_pictures(tmp_path / name, **cameras), model)
        original = system.learner.loss
        monkeypatch.setattr(
            system.learner, "loss", lambda z, texts, rng, f=original: (told.extend(texts), f(z, texts, rng))[1]
        )
        system.compute_loss(0, stream(0, "training", 0))
        assert set(told) == {expected}
        told.clear()


def test_what_is_no_folder_of_pictures(model: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "nowhere"):
        with pytest.raises(UserError, match=rf"pictures: {folder} holds no pictures \(\.png"):
            _system(folder, model)
    (tmp_path / "empty" / "a.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"a\.png: cannot be read as a picture"):
        _system(tmp_path / "empty", model)


def test_settings_that_cannot_be(model: Path, tmp_path: Path):
    for settings, complaint in (
        ({"captions": ("a thing",)}, r"captions: each needs \{\}"),
        ({"token": "two words"}, "token: one word without spaces"),
        ({"n_pictures": 0}, "n_pictures: from 1 to 1024, got 0"),
    ):
        with pytest.raises(UserError, match=complaint):
            _system(tmp_path, model, **settings)


def test_other_systems_have_no_word():
    assert LearntWordFile.misfit(LatentNeRF, None) == "cannot export 'latent-nerf'; it takes: textual-inversion"


@pytest.mark.parametrize("exporter", [MeshExporter, PaintedMesh])
def test_there_is_no_shape_to_export(exporter: type[Exporter]):
    assert "cannot export 'textual-inversion'; it takes: " in str(exporter.misfit(TextualInversion, None))
