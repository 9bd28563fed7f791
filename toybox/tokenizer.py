"""A CLIP tokenizer that knows the toy world's words as single tokens and still spells out any other."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from toybox.world import load_world

MAX_LENGTH = 32  # tokens, start and end included


def new_tokenizer() -> Any:
    """Byte-pair merges learned from the vocabulary until each of its words is one token.

    The numbers of tokens that are equally frequent differ from process to process: `kept_tokenizer` is what a training
    goes on with.

    Raises:
        ValueError: a word did not become one token.
    """
    words = load_world().vocabulary
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    learner.train_from_iterator(
        words, trainers.BpeTrainer(vocab_size=4096, end_of_word_suffix="</w>", show_progress=False)
    )
    merges = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())  # the 256 bytes: with them any text can be spelled
    tokens = ["<|startoftext|>", *letters, *(letter + "</w>" for letter in letters)]
    tokens += [token for token in dict.fromkeys("".join(pair) for pair in merges) if token not in tokens]
    tokens.append("<|endoftext|>")
    vocab = {token: index for index, token in enumerate(tokens)}
    tokenizer: Any = CLIPTokenizer(
        vocab=vocab,
        merges=merges,  # pyright: ignore[reportArgumentType]
        model_max_length=MAX_LENGTH,
    )
    broken = [word for word in words if len(tokenizer.tokenize(word)) != 1]
    if broken:
        raise ValueError(f"toybox.tokenizer: these words are not single tokens: {', '.join(broken)}")
    return tokenizer


def kept_tokenizer(folder: Path, first: Any = None) -> Any:
    """The tokenizer in `folder`; where there is none yet, `first` or a new one, which is then kept there.

    Weights mean nothing under the numbers of another tokenizer.
    """
    if not folder.exists():
        partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        (first or new_tokenizer()).save_pretrained(partial)
        os.replace(partial, folder)
    return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
