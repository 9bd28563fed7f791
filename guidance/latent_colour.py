"""The linear map between latents and colour: rgb = (M z + b + 1) / 2.

Good enough to look at latents without a VAE, and the starting point of RGB refinement (Latent-NeRF, section 3.3).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from core.types import LinearColour

#: Stable Diffusion 1.x: Latent-NeRF (arXiv:2211.07600), section 3.3.
STABLE_DIFFUSION_1 = LinearColour(
    torch.tensor([[0.298, 0.187, -0.158, -0.184], [0.207, 0.286, 0.189, -0.271], [0.208, 0.173, 0.264, -0.473]]),
    torch.zeros(3),
)


def fit_linear_colour(
    latents: Float[Tensor, "pixels channels"], rgb: Float[Tensor, "pixels 3"], ridge: float = 1e-3
) -> LinearColour:
    """Ridge regression of 2 rgb - 1 on the latents, for any VAE.

    Args:
        latents: normalised latents of pictures, one row per latent pixel. Pictures with edges: flat ones say little.
        rgb: mean colour in [0, 1] of the picture's area under each latent pixel.
        ridge: penalty on the matrix, relative to the latents' mean variance; the bias is free.
    """
    inputs, targets = latents.double(), 2 * rgb.double() - 1
    mean_in, mean_out = inputs.mean(0), targets.mean(0)
    x, y = inputs - mean_in, targets - mean_out
    gram = x.T @ x / len(x)
    penalty = ridge * gram.diagonal().mean() * torch.eye(gram.shape[0], dtype=gram.dtype, device=gram.device)
    matrix = torch.linalg.solve(gram + penalty, x.T @ y / len(x)).T
    residual = y - x @ matrix.T
    r_squared = 1 - residual.square().sum() / y.square().sum().clamp_min(1e-12)
    return LinearColour(matrix.float(), (mean_out - matrix @ mean_in).float(), float(r_squared))
