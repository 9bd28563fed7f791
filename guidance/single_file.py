"""Models in a single file, in the layout of Stable Diffusion's own code: SD 1.x, 2.x and XL, as *.safetensors.

Such a file holds weights alone. The configs that go with it are in single_files/, a folder for each kind of model,
with the words of CLIP's tokenizer, so that nothing has to be downloaded; a fine-tune of another shape names its own.
diffusers translates the weights' names, part by part.

Sources: the published configs of Stable Diffusion 1.5, 2.1, 2-base and XL; the vocabulary of CLIP
(github.com/openai/CLIP, MIT licence).
"""

import gzip
import logging
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from core.errors import UserError, first_line
from guidance.hub_files import fetch, read_json
from guidance.model_source import ModelSource, without_progress_bars
from guidance.model_weights import check_weights, refuse_pickle

log = logging.getLogger(__name__)

SHIPPED = Path(__file__).parent / "single_files"
_MERGES = SHIPPED / "clip_merges.txt.gz"
#: What diffusers calls the kinds that are read, and the folder of each one's configs.
_KINDS = {"v1": "sd1", "v2": "sd2", "xl_base": "sdxl"}
#: How the names of a part's weights begin in a file.
_PREFIXES = {
    "unet": ("model.diffusion_model.",),
    "vae": ("first_stage_model.",),
    "text_encoder": ("cond_stage_model.", "conditioner.embedders.0."),
    "text_encoder_2": ("conditioner.embedders.1.",),
}
#: How a text encoder's weights go on, where it is OpenCLIP's.
_OPEN_CLIP = re.compile(
    r"model\.(?:positional_embedding|token_embedding\.weight|ln_final\.\w+|transformer\.resblocks\.(?P<layer>\d+)\."
    r"(?:(?:ln_[12]|mlp\.c_fc|mlp\.c_proj|attn\.out_proj)\.\w+|attn\.in_proj_\w+))"
)
#: What files hold beside a text encoder: constants, and what pictures are compared with texts by.
_BESIDE_TEXTS = re.compile(r"\b(?:position_ids|attn_mask|logit_scale|text_projection(?:\.\w+)?)$")
#: Empty keys by which newer fine-tunes of XL say how they were trained.
_MARKS = {"v_pred": {"prediction_type": "v_prediction"}, "ztsnr": {"rescale_betas_zero_snr": True}}
FITTING = "single files of Stable Diffusion 1.x, 2.x and XL are read"


@dataclass(frozen=True)
class SingleFile(ModelSource):
    """A model whose weights are in one file; `address` is the folder of the configs that go with it."""

    file: Path = field(kw_only=True)
    keys: frozenset[str] = field(kw_only=True)
    """The names of all its weights."""

    def files(self, part: str) -> list[Path]:
        """The configs, and the file itself."""
        configs = sorted(path for path in (Path(self.address) / part).iterdir() if path.suffix in (".json", ".txt"))
        return [*configs, self.file]

    def check_files(self, part: str) -> None:
        """See that the file speaks of a network.

        Raises:
            UserError: it does not.
        """
        if not self._keys_of(part):
            raise UserError(f"model '{self.name}': holds no weights of the '{part}'; {FITTING}, whole ones")

    def config(self, part: str, file_name: str = "config.json") -> dict[str, Any]:
        """A part's config, with what the file itself says of its training."""
        content = super().config(part, file_name)
        for mark, said in _MARKS.items():
            content |= said if part == "scheduler" and mark in self.keys else {}
        return content

    def tokenizer(self, part: str) -> Any:
        """A tokenizer of the configs' folder, or CLIP's own with its settings."""
        if (Path(self.address) / part / "vocab.json").exists() or (
            Path(self.address) / part / "tokenizer.json"
        ).exists():
            return super().tokenizer(part)
        said = super().config(part, "tokenizer_config.json")
        return _clip_tokenizer(int(said["model_max_length"]), str(said["pad_token"]))

    def network(self, part: str, dtype: torch.dtype = torch.float32) -> Any:
        """A network with its weights in a dtype from the first on; frozen, in evaluation mode.

        Raises:
            UserError: they cannot be read, or are not all there.
        """
        without_progress_bars()
        try:
            with safe_open(self.file, "pt") as file, torch.random.fork_rng(devices=[]):
                network = self._translated(part, {key: file.get_tensor(key) for key in self._keys_of(part)}, dtype)
        except Exception as error:  # of three libraries
            raise UserError(
                f"model '{self.name}': cannot read its '{part}' ({self.file}): {first_line(error)}"
            ) from error
        check_weights(self.name, part, [self.file], network, self._report(part, network))
        return network.requires_grad_(False).eval()

    def _translated(self, part: str, weights: dict[str, Tensor], dtype: torch.dtype) -> Any:
        from diffusers.loaders.single_file_utils import create_diffusers_clip_model_from_ldm

        where = {"config": self.address, "subfolder": part, "torch_dtype": dtype, "local_files_only": True}
        if part.startswith("text_encoder"):
            return create_diffusers_clip_model_from_ldm(self.part_class(part), weights, **where)
        return self.part_class(part).from_single_file(weights, **where)

    def _keys_of(self, part: str) -> list[str]:
        return sorted(key for key in self.keys if key.startswith(_PREFIXES[part]))

    def _report(self, part: str, network: Any) -> dict[str, Any]:
        """Missing weights have been given no memory. Each name of a UNet or VAE stands for one weight."""
        weights = network.state_dict()
        missing = [key for key, weight in weights.items() if weight.is_meta]
        if part.startswith("text_encoder"):
            return {"missing_keys": missing, "unexpected_keys": self._strange_words(part, network)}
        n_more = len(self._keys_of(part)) - len(weights)
        strange = [f"{n_more} weights"] if not missing and n_more > 0 else []
        return {"missing_keys": missing, "unexpected_keys": strange}

    def _strange_words(self, part: str, network: Any) -> list[str]:
        """Weights beside a text encoder's that are none of its own: CLIP's have its names, OpenCLIP's their own."""
        known = {name.removeprefix("text_model.") for name in network.state_dict()}
        strange: list[str] = []
        for key in self._keys_of(part):
            name = next(key.removeprefix(prefix) for prefix in _PREFIXES[part] if key.startswith(prefix))
            own = _OPEN_CLIP.fullmatch(name)
            # Stable Diffusion 2 leaves the last layer out, which its files hold.
            is_own = own is not None and int(own["layer"] or 0) <= network.config.num_hidden_layers
            is_clip = name.removeprefix("transformer.").removeprefix("text_model.") in known
            if not (is_own or is_clip or _BESIDE_TEXTS.search(name)):
                strange.append(key)
        return strange


def find_single_file(name: str, path: Path, configs: str | None) -> SingleFile:
    """The model in a file.

    Args:
        configs: a folder or hub id with the configs that go with it, or the name of a shipped one; None: by the
            weights that it holds.

    Raises:
        UserError: a pickle, a file that cannot be read, or a model of another kind; the kind is named.
    """
    refuse_pickle(path, f"model '{name}': ")
    try:
        with safe_open(path, "pt") as file:
            shapes = {key: SimpleNamespace(shape=tuple(file.get_slice(key).get_shape())) for key in file.keys()}  # noqa: SIM118
            said = file.metadata() or {}
    except Exception as error:  # safetensors has an error of its own, which is no OSError
        raise UserError(f"model '{name}': {path} cannot be read: {first_line(error)}") from error
    folder = _folder(name, configs or _kind(name, path, shapes, said))
    index = read_json(name, str(folder), "model_index.json")
    return SingleFile(name, str(folder), index, file=path, keys=frozenset(shapes))


def _kind(name: str, path: Path, shapes: dict[str, Any], said: dict[str, str]) -> str:
    """The shipped configs that go with a file."""
    from diffusers.loaders.single_file_utils import infer_diffusers_model_type

    try:
        kind = infer_diffusers_model_type(shapes)
    except Exception as error:  # shapes that it does not know
        raise UserError(f"model '{name}': of an unknown kind ({first_line(error)}); {FITTING}") from error
    if kind not in _KINDS:
        raise UserError(f"model '{name}': {path} is of the kind that diffusers calls '{kind}'; {FITTING}")
    if "model.diffusion_model.input_blocks.0.0.weight" not in shapes:
        first = min(shapes, default="nothing")
        raise UserError(f"model '{name}': {path} holds no Stable Diffusion (its first weight is {first}); {FITTING}")
    if kind != "v2":
        return _KINDS[kind]
    # Both kinds of 2.x have weights of the same names and shapes.
    words = f"{path.stem} {said.get('modelspec.resolution', '')} {said.get('modelspec.prediction_type', '')}"
    chosen = "sd2-base" if any(word in words for word in ("base", "512", "epsilon")) else "sd2"
    log.warning(
        "model '%s': read as Stable Diffusion 2 %s; where that is wrong, say configs: %s",
        name,
        "base (512 pixels, epsilon)" if chosen == "sd2-base" else "(768 pixels, v-prediction)",
        "sd2" if chosen == "sd2-base" else "sd2-base",
    )
    return chosen


def _folder(name: str, configs: str) -> Path:
    """The folder behind a recipe's `configs`."""
    shipped = [path.name for path in sorted(SHIPPED.iterdir()) if path.is_dir()]
    if configs in shipped:
        return SHIPPED / configs
    path = Path(configs).expanduser()
    if path.is_dir():
        return path
    if configs.count("/") != 1:
        raise UserError(f"configs: no folder {configs}. Give one, a hub id, or {', '.join(shipped)}")
    index_file = fetch(name, configs, "model_index.json")
    source = ModelSource(name, configs, read_json(name, configs, "model_index.json"))
    for part in source.parts():
        if part in (*_PREFIXES, "scheduler"):
            fetch(name, configs, f"{part}/{'scheduler_config' if part == 'scheduler' else 'config'}.json")
        elif part.startswith("tokenizer"):
            source.tokenizer(part)
    return index_file.parent


def _clip_tokenizer(limit: int, pad: str) -> Any:
    """CLIP's tokenizer, from its list of merges: bytes, bytes at a word's end, merges, two special tokens."""
    from transformers import CLIPTokenizer

    tokenizer: Any = CLIPTokenizer  # whose merges may be pairs, though its annotation says texts
    vocabulary, merges = _clip_words()
    return tokenizer(vocab=dict(vocabulary), merges=list(merges), model_max_length=limit, pad_token=pad)


@cache
def _clip_words() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Each token's number, and pairs of tokens that are one, the first to be joined first."""
    lines = gzip.decompress(_MERGES.read_bytes()).decode("utf-8").splitlines()
    merges = [(first, second) for first, second in (line.split() for line in lines)]
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]  # bytes that stand for themselves
    hidden = [byte for byte in range(256) if byte not in shown]
    signs = [*map(chr, shown), *(chr(256 + i) for i in range(len(hidden)))]
    tokens = [*signs, *(f"{sign}</w>" for sign in signs), *map("".join, merges), "<|startoftext|>", "<|endoftext|>"]
    return {token: i for i, token in enumerate(tokens)}, merges
