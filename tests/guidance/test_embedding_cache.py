"""Embeddings come from the disk where all that made them is the same, and only there."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.schedule import Schedule
from guidance.embedding_cache import MOST_KEPT, content_key, find_embedding, keep_embedding
from guidance.latent_diffusion import LatentDiffusion
from guidance.latent_sds import LatentSDS
from guidance.lora import LoraFile
from guidance.model_families import TextEmbedding
from guidance.model_source import ModelSource, find_model
from tests.guidance.made_add_ons import write_lora
from tests.guidance.published import published_pipeline

Models = Callable[..., Path]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The networks that are read, in an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    seen: list[str] = []
    original = ModelSource.network

    def noted(self: ModelSource, part: str, dtype: torch.dtype = torch.float32) -> object:
        seen.append(part)
        return original(self, part, dtype)

    monkeypatch.setattr(ModelSource, "network", noted)
    return seen


def _embed(folder: Path, texts: list[str], dtype: torch.dtype = torch.float32) -> TextEmbedding:
    model = LatentDiffusion(find_model(str(folder)))
    model.use_precision(dtype)
    return model.embed_text(texts)


@pytest.mark.parametrize(("family", "layout"), [("epsilon", "sd"), ("epsilon", "xl")])
def test_the_second_time_no_text_encoder_is_read(family: str, layout: str, read: list[str], tiny_model: Models):
    first = _embed(tiny_model(family, layout), ["red", ""])
    assert read == ["text_encoder", "text_encoder_2"][: 1 + (layout == "xl")]
    read.clear()
    second = _embed(tiny_model(family, layout), ["red", ""])
    assert read == []
    assert torch.equal(first.tokens, second.tokens)
    assert (first.pooled is None) == (second.pooled is None)
    if first.pooled is not None and second.pooled is not None:
        assert torch.equal(first.pooled, second.pooled)


def test_other_texts_precision_or_weights_are_embedded_anew(read: list[str], tiny_model: Models, tmp_path: Path):
    folder = Path(shutil.copytree(tiny_model(), tmp_path / "model"))
    first = _embed(folder, ["red"])
    _embed(folder, ["blue"])
    assert _embed(folder, ["red"], torch.bfloat16).tokens.dtype == torch.bfloat16
    file = folder / "text_encoder" / "model.safetensors"
    save_file({key: 1.5 * value for key, value in load_file(file).items()}, file, {"format": "pt"})
    assert not torch.equal(_embed(folder, ["red"]).tokens, first.tokens)
    assert read == ["text_encoder"] * 4


def test_what_the_empty_text_stands_for_counts(read: list[str], tiny_model: Models, tmp_path: Path):
    """Two models with the same text encoders, and another word in their tables of contents."""
    folder = Path(shutil.copytree(tiny_model("epsilon", "xl"), tmp_path / "model"))
    assert not _embed(folder, ["red", ""]).tokens[1].any()
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "force_zeros_for_empty_prompt": False}))
    assert _embed(folder, ["red", ""]).tokens[1].any()


def test_add_ons_count(read: list[str], tiny_model: Models, tmp_path: Path):
    folder, path = tiny_model(), tmp_path / "style.safetensors"
    write_lora(path, published_pipeline("sd", folder))
    seen = []
    for scale in (0.5, 1.0, 0.5):
        settings = {"lora": (LoraFile(path, scale),), "guidance_scale": Schedule.constant(1.0)}
        seen.append(LatentSDS(LatentSDS.Config(model=str(folder), **settings)).model.embed_text(["red"]).tokens)
    assert read == ["text_encoder"] * 2
    assert torch.equal(seen[0], seen[2])
    assert not torch.equal(seen[0], seen[1])


def test_a_broken_file_is_made_anew_and_a_full_disk_is_told(
    read: list[str],
    tiny_model: Models,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    first = _embed(tiny_model(), ["red"])
    (kept,) = (tmp_path / "cache" / "latent-nerf" / "embeddings").iterdir()
    kept.write_bytes(kept.read_bytes()[:50])
    assert torch.equal(_embed(tiny_model(), ["red"]).tokens, first.tokens)
    assert len(read) == 2
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert torch.equal(_embed(tiny_model(), ["red"]).tokens, first.tokens)
    assert "embeddings of texts cannot be kept" in caplog.text


def test_all_that_an_embedding_holds_is_kept():
    tokens, mask = torch.randn(2, 3, 4), torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    keep_embedding("masked", TextEmbedding(tokens, mask=mask))
    found = find_embedding("masked")
    assert found is not None
    assert found.pooled is None
    assert found.mask is not None
    assert torch.equal(found.tokens, tokens)
    assert torch.equal(found.mask, mask)


def test_the_oldest_go_first(read: list[str], tmp_path: Path):
    embedding = TextEmbedding(torch.zeros(1, 2, 3), None)
    for i in range(MOST_KEPT + 3):
        keep_embedding(f"{i:03}", embedding)
    assert len(list((tmp_path / "cache" / "latent-nerf" / "embeddings").iterdir())) == MOST_KEPT
    assert find_embedding(f"{MOST_KEPT + 2:03}") is not None


def test_the_hubs_cache_has_digested_weights_already(tmp_path: Path):
    blob = tmp_path / "blobs" / ("ab" * 32)
    blob.parent.mkdir()
    blob.write_bytes(b"weights")
    link = tmp_path / "model.safetensors"
    link.symlink_to(blob)
    key = content_key([link], ["red"])
    blob.write_bytes(b"never read")
    assert content_key([link], ["red"]) == key
    assert content_key(None, ["red"]) is None
