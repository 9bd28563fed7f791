"""Which model guides, what is added to it, and how it is read: settings that all guidance by a model shares."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields
from pathlib import Path

from core.errors import require
from core.paths import FolderOrName
from guidance.add_ons import AddOns
from guidance.camera_conditioning import CameraConditioning
from guidance.control import ControlFile
from guidance.foreign_families import is_distilled
from guidance.frozen import Precision
from guidance.latent_diffusion import LatentDiffusion
from guidance.lora import LoraFile
from guidance.model_gate import followed
from guidance.model_source import ModelSource, find_model
from guidance.single_file import find_single_file
from guidance.textual_inversion import EmbeddingFile

log = logging.getLogger(__name__)

#: Guidance scales above this one are told to whoever uses a model that was distilled without guidance.
MOST_DISTILLED = 5.0


_kept: ContextVar[dict[str, LatentDiffusion] | None] = ContextVar("kept", default=None)


@contextmanager
def models_kept(kept: dict[str, LatentDiffusion]) -> Iterator[None]:
    """Within this block a model that was read last is not read again, with all that it has computed: networks that are
    frozen mean the same to whoever uses them.

    Args:
        kept: holds the model from block to block.
    """
    before = _kept.set(kept)
    try:
        yield
    finally:
        _kept.reset(before)


@dataclass(frozen=True)
class ModelSettings:
    """A model, its add-ons and its precision."""

    model: FolderOrName
    """`toybox`, a folder in the diffusers layout (`./mine` beside the recipe), a hub id, or one *.safetensors file."""
    configs: FolderOrName | None = None
    """What a single file's configs are read from: `sd1`, `sd2`, `sd2-base`, `sdxl`, a folder or a hub id; null: as the
    file's weights say."""
    lora: tuple[LoraFile, ...] = ()
    """LoRAs merged into it: [{path: style.safetensors, scale: 0.8}]."""
    embeddings: tuple[Path | EmbeddingFile, ...] = ()
    """Textual inversions: [cat.safetensors], or [{path: cat.safetensors, token: <cat>}]; the prompt says the token."""
    control: tuple[ControlFile, ...] = ()
    """ControlNets, which are shown the painted mesh or the sketch: [{path: FOLDER, kind: depth, scale: 1.0}]."""
    t5: bool = False
    """Whether Stable Diffusion 3's third text encoder is read too, which takes up to 10 GB while texts are embedded."""
    precision: Precision = "auto"
    """Precision of the frozen networks. auto: float16 on a GPU, bfloat16 on CPUs with native support, else float32."""

    def find(self, setting: Callable[[str], str]) -> ModelSource:
        """Where the model comes from.

        Args:
            setting: gives the full path of a setting, for messages.

        Raises:
            UserError: there is no such model.
        """
        path = Path(self.model).expanduser()
        if path.is_file():
            return find_single_file(self.model, path, self.configs)
        require(self.configs is None, f"{setting('configs')}: goes with a model in a single file; leave it out")
        return find_model(self.model, setting("model"))

    def read(
        self, source: ModelSource, setting: Callable[[str], str], cameras: CameraConditioning | None = None
    ) -> LatentDiffusion:
        """The model with its add-ons; arguments as of `find` and LatentDiffusion.

        Raises:
            UserError: it does not fit, or an add-on's file is not what it should be.
        """
        kept = _kept.get()
        key = repr((source.address, cameras, *(getattr(self, each.name) for each in fields(ModelSettings))))
        if kept is not None and key in kept:
            model = kept[key]
            model.autoencoder.takes_less = False  # memory was short in another job
            return model
        add_ons = AddOns.read(self.lora, self.embeddings, self.control, setting)
        with followed(source):
            model = LatentDiffusion(source, cameras, add_ons, self.t5)
        if kept is not None:
            kept.clear()  # one model at a time: the next job's is mostly the same
            kept[key] = model
        return model

    def tell_scale(self, source: ModelSource, scale: float, setting: str) -> None:
        """Say so where a model that was distilled to do without guidance is asked with much guidance."""
        if scale > MOST_DISTILLED and is_distilled(source, [lora.path for lora in self.lora]):
            log.warning(
                "model '%s': distilled to do without guidance; it works with scales near 1 (%s=1), the recipe says %g",
                source.name,
                setting,
                scale,
            )
