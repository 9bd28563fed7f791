"""What a recipe adds to a model: LoRAs, which change its weights, textual inversions, which add words, ControlNets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path

from torch import nn

from core.errors import UserError, named
from guidance.control import ControlFile, ControlNet
from guidance.lora import LoraFile, check_lora, merge_loras
from guidance.model_families import ModelFamily
from guidance.pipelines import diffusers_class
from guidance.textual_inversion import EmbeddingFile, LearntWord, read_word


@dataclass(frozen=True)
class AddOns:
    """LoRAs, learnt words and ControlNets, checked; they are loaded with the networks that they are for."""

    loras: tuple[LoraFile, ...] = ()
    words: tuple[LearntWord, ...] = ()
    files: tuple[Path, ...] = ()
    """All files behind these two."""
    controls: tuple[ControlNet, ...] = ()

    @classmethod
    def read(
        cls,
        loras: Sequence[LoraFile],
        embeddings: Sequence[Path | EmbeddingFile],
        controls: Sequence[ControlFile],
        setting: Callable[[str], str],
    ) -> "AddOns":
        """Check files and read the words among them.

        Args:
            setting: gives the full path of a setting, for messages.

        Raises:
            UserError: a file is missing, broken, a pickle, or not what it should be.
        """
        words: list[LearntWord] = []
        nets: list[ControlNet] = []
        for i, lora in enumerate(loras):
            with named(setting(f"lora.{i}")):
                check_lora(lora)
        files = [each if isinstance(each, EmbeddingFile) else EmbeddingFile(each) for each in embeddings]
        for i, file in enumerate(files):
            with named(setting(f"embeddings.{i}")):
                words.append(read_word(file, setting(f"embeddings.{i}")))
        for i, control in enumerate(controls):
            with named(setting(f"control.{i}")):
                nets.append(ControlNet.find(control))
        return cls(tuple(loras), tuple(words), tuple(each.path for each in (*loras, *files)), tuple(nets))

    def check_family(self, model: str, family: type[ModelFamily]) -> None:
        """Refuse what diffusers' pipeline of a family does not read.

        Args:
            model: its name, for messages.

        Raises:
            UserError: naming the family.
        """
        if self.words and not family.takes_embeddings:
            raise UserError(f"model '{model}': {family.title} takes no embeddings; leave them out")
        if self.loras and not family.takes_loras:
            raise UserError(f"model '{model}': {family.title} takes no LoRAs, which diffusers does not read for it")

    def content(self) -> list[str]:
        """What embeddings of texts depend on: scales, words, and the files' digests."""
        said = [f"{lora.scale!r}" for lora in self.loras] + [word.token for word in self.words]
        for path in self.files:
            with path.open("rb") as file:
                said.append(file_digest(file, "sha256").hexdigest())
        return said

    def merge_into(self, network: nn.Module, part: str, family: ModelFamily) -> None:
        """Add the LoRAs to a network that has just been loaded, by the folder that it comes from.

        Raises:
            UserError: one does not fit the model.
        """
        if self.loras:
            merge_loras(network, part, self.loras, diffusers_class(family.pipeline), family.networks())
