"""A frozen latent diffusion model behind four methods: embed text, predict noise, encode, decode.

Sizes, channels, noise schedule and prediction type are read from the model's own files. Latents are channels last
outside of this module and channels first only inside.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from core.errors import UserError
from core.types import Cameras, ShapeLook
from guidance.add_ons import AddOns
from guidance.autoencoder import Autoencoder
from guidance.camera_conditioning import CameraConditioning
from guidance.control import ControlPictures, check_controls, steered
from guidance.foreign_families import left_out
from guidance.frozen import FrozenNetworks, by_rows
from guidance.joined_views import join_views
from guidance.model_families import TextEmbedding
from guidance.model_gate import check_model, latent_size, size_step, wanted_encoders
from guidance.model_source import ROOT, ModelSource
from guidance.noise_schedule import noise_from_output, picture_from_output
from guidance.recorded import Recorded
from guidance.text_encoding import TextEncoder
from guidance.textual_inversion import check_words

log = logging.getLogger(__name__)


class LatentDiffusion(FrozenNetworks):
    """A Stable-Diffusion-like model, read part by part when it is needed.

    Its denoiser comes with the first prediction or with `load`, its autoencoder with the first picture; text encoders
    are there only while texts are embedded. Weights have their precision from the first on.

    Attributes:
        adapter: what is particular to the model's family.
        autoencoder: pictures to latents and back.
        latent_size: height and width that the denoiser was trained with, in latents.
        size_step: it takes pictures of multiples of this size.
        n_timesteps: length of the noise schedule.
        alpha, sigma: the noise schedule, least noise first.
    """

    alpha: Tensor
    sigma: Tensor
    network_time: Tensor

    def __init__(
        self,
        source: ModelSource,
        cameras: CameraConditioning | None = None,
        add_ons: AddOns | None = None,
        t5: bool = False,
    ) -> None:
        """Read the model's configs.

        Args:
            cameras: what the denoiser is told of cameras, where it is.
            add_ons: LoRAs and learnt words.
            t5: whether the large text encoder is read that a family can do without.

        Raises:
            UserError: a part is missing, or the model does not fit.
        """
        family = check_model(source, cameras, t5)
        encoders = wanted_encoders(source, family, t5)
        for part in (family.denoiser, "vae", *encoders):
            source.check_files(part)
        add_ons = add_ons or AddOns()
        add_ons.check_family(source.name, family)
        if family.t5 and source.has(family.t5) and not t5:
            log.info("model '%s': its T5 text encoder is left out; t5: true reads it", source.name)
        if more := left_out(source):
            log.warning("model '%s': %s", source.name, more)
        if cameras and add_ons.controls:
            raise UserError(f"model '{source.name}': is told cameras, which no ControlNet is; leave control out")
        super().__init__()
        self.autoencoder = Autoencoder(source, family.latent_statistics)
        self.latent_size, self.size_step = latent_size(source), size_step(source, family)
        self.adapter = family(source.full_config(family.denoiser), self.latent_size * self.autoencoder.pixel_factor)
        self._source, self._cameras, self._add_ons = source, cameras, add_ons
        self._controls = add_ons.controls
        check_controls(self._controls, source, family, self.adapter.config, self.autoencoder.pixel_factor)
        self._text_encoder = TextEncoder(source, self.adapter, encoders, add_ons)
        self._n_clips = len(family.text_encoders)
        self._recorded = Recorded(self._call)
        self._dtype = torch.float32  # stored ones are often float16, which the CPU computes slowly or not at all
        schedule = self.adapter.schedule(source.config("scheduler", "scheduler_config.json"))
        self.family, self.n_timesteps = schedule.family, len(schedule)
        for name in ("alpha", "sigma", "network_time"):
            self.register_buffer(name, getattr(schedule, name), persistent=False)

    @property
    def denoiser(self) -> Any:
        """The network, read when it is first asked for.

        Raises:
            UserError: its weights cannot be read, or are not all there.
        """
        if not self._networks:
            network: Any = self._source.network(self.adapter.denoiser, self._dtype)
            self._add_ons.merge_into(network, self.adapter.denoiser, self.adapter)
            if self._cameras is not None:
                join_views(network, self._cameras.n_together)
            # Convolutions are a tenth faster with channels last in memory too.
            nn.Module.to(network, self.alpha.device)
            self.hold(network.to(memory_format=torch.channels_last))
            for control in self._controls:
                held: Any = nn.Module.to(control.source.network(ROOT, self._dtype), self.alpha.device)
                self.hold(held.to(memory_format=torch.channels_last))
        return self._networks[0]

    def layers(self) -> nn.Module:
        """The denoiser's layers without their weights, for whoever has to know their shapes before it is read."""
        return self._source.layers(self.adapter.denoiser)

    def use_precision(self, dtype: torch.dtype) -> None:
        """Hold the networks' weights in a dtype; the autoencoder's in float32 instead of bfloat16.

        bfloat16 has eight bits: enough for a score that is one of thousands, too few for the shades of a picture.
        """
        self._dtype = dtype
        for network in self._networks:
            nn.Module.to(network, dtype)  # the libraries' own `to` warns of layers that none of these models has
        self.autoencoder.use_precision(torch.float32 if dtype is torch.bfloat16 else dtype)
        self._recorded.forget()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "LatentDiffusion":
        super()._apply(fn, recurse)
        self._recorded.forget()
        return self

    def fits(self, text: str) -> bool:
        """Whether the text encoder reads a text to its end."""
        return self._text_encoder.fits(text)

    def check_words(self, prompt: str, negative_prompt: str, setting: str) -> None:
        """Refuse learnt words that a prompt does not use, and words in angle brackets that nothing gives a meaning.

        Raises:
            UserError: naming the word.
        """
        check_words(self._add_ons.words, self._n_clips, prompt, negative_prompt, setting)

    def without_words(self, prompt: str) -> str:
        """A prompt without its learnt words."""
        for word in self._add_ons.words:
            prompt = prompt.replace(word.token, "")
        return prompt

    def load(self) -> None:
        """Read the denoiser and its ControlNets now, where they have not been.

        Raises:
            UserError: its weights cannot be read, are not all there, or an add-on does not fit.
        """
        _ = self.denoiser

    def control_pictures(self, look: ShapeLook) -> ControlPictures | None:
        """What the model's ControlNets are shown of a shape; None where it has none."""
        return ControlPictures(look, self._controls) if self._controls else None

    def text_pipeline(self) -> Any:
        """Diffusers' pipeline with freshly read text encoders, for training word embeddings that feed them."""
        return self._text_encoder.pipeline(self._dtype, self.alpha.device)

    def embed_text(self, texts: list[str]) -> TextEmbedding:
        """Embeddings of texts in the precision of the weights; the empty text is the unconditional one."""
        return self._text_encoder.embed(texts, self._dtype, self.alpha.device)

    def predict(
        self,
        noisy: Float[Tensor, "views height width channels"],
        timestep: Int[Tensor, "views"],
        text: TextEmbedding,
        cameras: Cameras | None = None,
        is_learning: bool = False,
        shown: Sequence[Tensor] = (),
        as_picture: bool = False,
    ) -> Float[Tensor, "views height width channels"]:
        """eps_hat, the noise that the model sees in x_t, in float32.

        Args:
            timestep: index into the noise schedule, 0 is the least noise.
            text: one embedding per view, made since the weights have their precision.
            cameras: of the views, or of the first of them where a batch holds the same ones several times; a model
                that knows cameras is told nothing of them without.
            is_learning: whether gradients flow, to what is trained within the network or in front of it.
            shown: pictures for each ControlNet (views 3 rows columns), repeated as cameras are.
            as_picture: give z_hat instead, the latents that the model believes to be under the noise.
        """
        seen = noisy.movedim(-1, 1)
        told = tuple(each for each in (text.tokens, text.pooled, text.mask) if each is not None)
        if self._cameras is not None:
            rays, poses = self._told(self._cameras, cameras, noisy)
            seen = seen if rays is None else torch.cat([seen, rays], dim=1)
            told = told if poses is None else (*told, poses.to(self._dtype))
        told = (*told, *(each.repeat(len(noisy) // len(each), 1, 1, 1).to(self._dtype) for each in shown))
        call = self._recorded if noisy.is_cuda and not is_learning else self._call
        # The weights have a precision of their own, whatever that of the training.
        with torch.set_grad_enabled(is_learning):
            with torch.autocast(noisy.device.type, enabled=False):
                batch = (seen.to(self._dtype), self.network_time[timestep], *told)
                if self.autoencoder.takes_less:
                    output = by_rows(call, batch, self._cameras.n_together if self._cameras else 1)
                else:
                    output = call(*batch)
            meaning = picture_from_output if as_picture else noise_from_output
            return meaning(self.family, output.movedim(1, -1), noisy, self.alpha[timestep], self.sigma[timestep])

    def _call(self, noisy: Tensor, time: Tensor, tokens: Tensor, *told: Tensor) -> Tensor:
        network: Callable[..., Any] = self.denoiser
        if n := len(self._controls):
            told, shown = told[:-n], told[-n:]
            scales = [control.scale for control in self._controls]
            controls = list(zip(self._networks[1:], scales, strict=True))
            network = steered(network, controls, noisy, time, tokens, shown)
        return self.adapter.call(network, noisy, time, tokens, *told)

    def _told(
        self, conditioning: CameraConditioning, cameras: Cameras | None, noisy: Tensor
    ) -> tuple[Tensor | None, Tensor | None]:
        """Ray maps and poses for a batch."""
        size = noisy.shape[1]
        if cameras is None:
            told = conditioning.untold(len(noisy), size, noisy.device)
        else:
            told = conditioning.tell(cameras, size).repeated(len(noisy) // len(cameras))
        return told.rays, told.poses
