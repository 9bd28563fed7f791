"""The sizes of the bundled model's networks, in diffusers' and transformers' own classes."""

from typing import Any

from transformers import CLIPTextConfig, CLIPTextModel

from toybox.area_mean import start_as_area_mean
from toybox.latents import diffusers

LATENT_CHANNELS = 4
LATENT_SIZE = 32
DOWNSCALE = 4  # pixels per latent cell: two halvings
TEXT_WIDTH = 160


def new_vae() -> Any:
    """A small autoencoder. One GroupNorm group: more of them lose the absolute colour of so few channels."""
    vae = diffusers.AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=LATENT_CHANNELS,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        norm_num_groups=1,
        mid_block_add_attention=False,
        sample_size=LATENT_SIZE * DOWNSCALE,
        scaling_factor=1.0,
    )
    start_as_area_mean(vae)
    return vae


def new_unet() -> Any:
    """The denoiser, about 6 M parameters; text enters at the two coarser levels by attention, and everywhere pooled.

    The pooled text is added to the time embedding (`addition_embed_type`), as in Imagen (arXiv:2205.11487): what holds
    for the whole picture, the view above all, is meant to be learned sooner that way.
    `attention_head_dim` is what diffusers calls the *number of heads*.
    """
    return diffusers.UNet2DConditionModel(
        sample_size=LATENT_SIZE,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(48, 96, 144),
        layers_per_block=1,
        attention_head_dim=4,
        cross_attention_dim=TEXT_WIDTH,
        norm_num_groups=8,
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
    )


def new_text_encoder(tokenizer: Any) -> CLIPTextModel:
    """A three-layer CLIP text encoder for this CLIPTokenizer, trained from scratch with the denoiser."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=2 * TEXT_WIDTH,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=tokenizer.model_max_length,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def new_scheduler() -> Any:
    """Zero terminal SNR and v-prediction: at small latent sizes the usual schedule never hides the picture."""
    return diffusers.DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )
