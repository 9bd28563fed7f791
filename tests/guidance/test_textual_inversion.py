"""Learnt words mean to guidance what they mean to diffusers' pipelines; what is none is refused."""

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from core.errors import UserError
from core.schedule import Schedule
from guidance.latent_sds import LatentSDS
from guidance.textual_inversion import EmbeddingFile, LearntWord, check_words, read_word
from tests.guidance.made_add_ons import random_vectors
from tests.guidance.published import PLAIN, assert_equal, published_pipeline
from tests.tiny_pipelines import WIDTH, Family, Layout

Models = Callable[[Family, Layout], Path]


def _guidance(folder: Path, *files: Path | EmbeddingFile, **settings: Any) -> LatentSDS:
    fixed = {**PLAIN, "guidance_scale": Schedule.constant(7.5), **settings}
    return LatentSDS(LatentSDS.Config(model=str(folder), embeddings=files, **fixed))


@pytest.mark.parametrize(
    ("n_pieces", "family"), [(1, "sd-epsilon"), (3, "sd-epsilon"), (2, "sd-v"), (2, "sd-v-zero-snr")]
)
def test_equal_to_the_pipeline_that_has_learnt_it(
    n_pieces: int, family: str, family_model: Callable[[str], tuple[Layout, Path]], tmp_path: Path
):
    folder, path = family_model(family)[1], tmp_path / "learned_embeds.safetensors"
    save_file({"<cat>": random_vectors(n_pieces, WIDTH)}, path)
    pipeline = published_pipeline("sd", folder)
    pipeline.load_textual_inversion(tmp_path, weight_name=path.name)
    assert_equal(_guidance(folder, path), pipeline, 7.5, "a red <cat>")


def test_equal_for_both_text_encoders_of_xl(tiny_model: Models, tmp_path: Path):
    folder, path = tiny_model("epsilon", "xl"), tmp_path / "cat.safetensors"
    vectors = {"clip_l": random_vectors(2, WIDTH, 1), "clip_g": random_vectors(2, WIDTH, 2)}
    save_file(vectors, path)
    pipeline = published_pipeline("xl", folder)
    for key, suffix in (("clip_l", ""), ("clip_g", "_2")):
        told = {name: getattr(pipeline, f"{name}{suffix}") for name in ("tokenizer", "text_encoder")}
        pipeline.load_textual_inversion(vectors[key], token="<cat>", **told)
    assert_equal(_guidance(folder, EmbeddingFile(path, "<cat>")), pipeline, 7.5, "a red <cat>")


def test_in_a_negative_prompt(tiny_model: Models, tmp_path: Path):
    folder, path = tiny_model("epsilon", "sd"), tmp_path / "ugly.safetensors"
    save_file({"emb_params": random_vectors(2, WIDTH)}, path)
    pipeline = published_pipeline("sd", folder)
    pipeline.load_textual_inversion(random_vectors(2, WIDTH), token="ugly")
    guidance = _guidance(folder, path, negative_prompt="ugly")
    assert_equal(guidance, pipeline, 7.5, negative="ugly")


def test_a_long_prompt_counts_the_pieces_of_a_word(tiny_model: Models, tmp_path: Path):
    path = tmp_path / "cat.safetensors"
    save_file({"<cat>": random_vectors(5, WIDTH)}, path)
    model = _guidance(tiny_model("epsilon", "sd"), path).model  # 24 tokens, start and end among them, one per letter
    assert model.fits("x" * 17 + " <cat>")
    assert not model.fits("x" * 18 + " <cat>")


@pytest.mark.parametrize("suffix", [".pt", ".bin"])
def test_files_of_other_tools(suffix: str, tmp_path: Path):
    """AUTOMATIC1111's web UI and diffusers' older scripts; tensors are read from them, and nothing is run."""
    vectors = random_vectors(2, 4)
    web_ui = {"string_to_token": {"*": 265}, "string_to_param": {"*": vectors}, "name": "cat", "step": 500}
    torch.save(web_ui, tmp_path / f"a{suffix}")
    torch.save({"<cat>": vectors[0]}, tmp_path / f"b{suffix}")
    torch.save(vectors, tmp_path / f"cat{suffix}")
    for name, token, n_pieces in (("a", "cat", 2), ("b", "<cat>", 1), ("cat", "cat", 2)):
        word = read_word(EmbeddingFile(tmp_path / f"{name}{suffix}"))
        assert (word.token, len(word.pieces)) == (token, n_pieces)
        torch.testing.assert_close(word.vectors[0], vectors[:n_pieces])


class Planted:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path):
    path, sign = tmp_path / "evil.pt", tmp_path / "was-run"
    torch.save({"<cat>": random_vectors(1, 4), "more": Planted(sign)}, path)
    with pytest.raises(
        UserError, match=r"evil.pt is a pickle that holds more than tensors.*Convert it where you trust it"
    ):
        read_word(EmbeddingFile(path))
    path.write_bytes(pickle.dumps(Planted(sign)))
    with pytest.raises(UserError, match=r"evil.pt (is a pickle|cannot be read)"):
        read_word(EmbeddingFile(path))
    assert not sign.exists()


def test_files_that_are_none(tmp_path: Path):
    (tmp_path / "a.safetensors").write_bytes(b"nothing")
    save_file({"x": torch.ones(2), "y": torch.ones(2)}, tmp_path / "b.safetensors")
    save_file({"clip_l": torch.ones(2, 3), "clip_g": torch.ones(1, 3)}, tmp_path / "c.safetensors")
    for name, complaint in (
        ("a.safetensors", "cannot be read"),
        ("b.safetensors", r"is no textual inversion of one word \(it holds x, y\)"),
        ("c.safetensors", "another number of embeddings for each text encoder"),
        ("d.safetensors", "no file"),
        ("e.txt", r"ends in \.safetensors, \.pt or \.bin"),
    ):
        with pytest.raises(UserError, match=complaint) as caught:
            read_word(EmbeddingFile(tmp_path / name))
        assert name in str(caught.value)


def test_words_that_a_prompt_does_not_use_or_nothing_defines():
    cat = LearntWord("<cat>", (torch.ones(1, 4),))
    check_words([cat], 1, "a red <cat>, side view")
    check_words([], 1, "a 3 < 4 cat")
    with pytest.raises(
        UserError, match=r"embeddings: '<cat>' does not occur in the prompt 'a red cat'; write it there"
    ):
        check_words([cat], 1, "a red cat")
    with pytest.raises(UserError, match=r"prompt: nothing says what '<dog>' means; defined are <cat>"):
        check_words([cat], 1, "a <cat> and a <dog>")
    with pytest.raises(
        UserError, match=r"prompt: nothing says what '<dog>' means; give its file as embeddings=\[FILE\]"
    ):
        check_words([], 1, "a <dog>")
    with pytest.raises(UserError, match=r"'<cat>' is for 1 text encoder\(s\), the model has 2"):
        check_words([cat], 2, "a <cat>")


def test_words_are_whole_and_may_have_spaces():
    bad = LearntWord("EasyNeg", (torch.ones(1, 4),))
    check_words([bad], 1, "a duck", "blurry, EasyNeg, dark")
    for negative in ("EasyNegs", "MyEasyNeg", "EasyNeg_2"):
        with pytest.raises(UserError, match="'EasyNeg' does not occur"):
            check_words([bad], 1, "a duck", negative)
    with pytest.raises(UserError, match=r"^prompt: nothing says what '<my cat>' means; give its file"):
        check_words([], 1, "a <my cat>")
    check_words([], 1, "a < b and c > d")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ("<lora:style:0.8>", "{path: style.safetensors, scale: 0.8}"),
        ("<lyco:my style>", "{path: my style.safetensors}"),
    ],
)
def test_loras_in_a_prompt_are_answered_with_the_setting(found: str, said: str):
    with pytest.raises(UserError) as caught:
        check_words([], 1, f"a red {found}", "", "system.guidance.inner.embeddings")
    told = f"leave '{found}' out; a LoRA is a setting here: system.guidance.inner.lora=[{said}]"
    assert str(caught.value) == f"prompt: {told}"


def test_an_embedding_of_another_model_is_refused(tiny_model: Models, tmp_path: Path):
    path = tmp_path / "cat.safetensors"
    save_file({"<cat>": random_vectors(1, WIDTH + 1)}, path)
    said = f"the embedding of '<cat>' has {WIDTH + 1} numbers, the text encoder's words have {WIDTH}: it was made for"
    known = "<|endoftext|>"
    with pytest.raises(UserError, match=f"^embeddings.0: {path}: {said}"):
        _guidance(tiny_model("epsilon", "sd"), path).prepare("a <cat>")
    with pytest.raises(
        UserError, match=f"^embeddings.0: {path}: the word '{re.escape(known)}' has a meaning already; give"
    ):
        _guidance(tiny_model("epsilon", "sd"), EmbeddingFile(path, known)).prepare(f"a red {known}")
    with pytest.raises(UserError, match=r"Stable Diffusion 3 and 3\.5 takes no embeddings"):
        _guidance(tiny_model("flow", "sd3"), path)
