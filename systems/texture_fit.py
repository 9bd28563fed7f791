"""A texture from pictures of it: what it must show for its views to be those pictures.

A view is linear in the texture, p = A x with rows that sum to 1, so this is least squares. It is solved by

    x <- x + A^T (p - A x) / (A^T 1 + d)

from coarse textures to fine ones: what the pictures do not decide stays as smooth as the coarser texture was. (Adam
instead fills the undecided with noise as large as its rate.)

Source: the simultaneous iterative reconstruction technique, Gilbert, J. Theor. Biol. 36 (1972).
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from core.chance import stream
from core.kinds import Renderer, TexturedSurface
from core.types import Cameras
from geometry.mip_texture import sample_mip
from renderers.backgrounds import NoBackground

#: Pixels of which the object takes less may show the background.
OPAQUE = 0.999
#: Side of the first texture, and improvements of each.
COARSEST, N_ROUNDS = 16, 4
VIEWS_AT_ONCE = 4
#: d: a texel that less of a pixel than this looks at in all pictures follows them slowly.
DAMPING = 0.1


class Repainted(TexturedSurface):
    """Another surface with a texture of any size and channels, which does not learn."""

    def __init__(
        self,
        surface: TexturedSurface,
        texture: Float[Tensor, "size size channels"],
        corner_uv: Float[Tensor, "faces 3 2"] | None = None,
    ) -> None:
        """
        Args:
            corner_uv: where it lies on the texture; none: as the other surface does.
        """
        super().__init__()
        self.vertices, self.faces = surface.vertices, surface.faces
        self.corner_uv = surface.corner_uv if corner_uv is None else corner_uv
        self.n_channels = texture.shape[-1]
        self.texture = texture

    def forward(
        self, uv: Float[Tensor, "points 2"], footprint: Float[Tensor, "points"]
    ) -> Float[Tensor, "points channels"]:
        """The texture between its texels."""
        return sample_mip(self.texture, uv, footprint)


def fitted_texture(
    surface: TexturedSurface,
    renderer: Renderer,
    cameras: Cameras,
    pictures: Float[Tensor, "views height width channels"],
    size: int,
) -> tuple[Float[Tensor, "{size} {size} channels"], float]:
    """The texture whose views match `pictures` on pixels that the surface covers wholly, and the error left.

    Args:
        cameras: of the pictures, in their size.
        size: texels along each side, a power of 2.

    Returns:
        The texture, and the root of the mean squared error before the last improvement.
    """
    renderer.draw_ahead(surface, cameras, wait=True)
    texture = torch.zeros(1, 1, pictures.shape[-1], device=pictures.device)
    texture, error = _improved(surface, renderer, cameras, pictures, texture)
    side = min(COARSEST, size)
    while side <= size:
        wider = F.interpolate(texture.movedim(-1, 0)[None], (side, side), mode="bilinear", align_corners=False)
        texture = wider[0].movedim(0, -1).contiguous()
        for _ in range(N_ROUNDS):
            texture, error = _improved(surface, renderer, cameras, pictures, texture)
        side *= 2
    return texture, error


def _improved(
    surface: TexturedSurface,
    renderer: Renderer,
    cameras: Cameras,
    pictures: Tensor,
    texture: Tensor,
) -> tuple[Tensor, float]:
    """One improvement, and the error before it."""
    rng, behind = stream(0, "texture fit", 0), NoBackground(texture.shape[-1])
    painted = Repainted(surface, texture.detach().requires_grad_())
    correction, share = torch.zeros_like(texture), torch.zeros_like(texture)
    squared, n_values = 0.0, 0
    for first in range(0, len(cameras), VIEWS_AT_ONCE):
        views = slice(first, first + VIEWS_AT_ONCE)
        with torch.enable_grad():
            render = renderer(painted, behind, cameras[views], rng)
            inside = (render.opacity > OPAQUE)[..., None].expand_as(render.foreground).to(texture.dtype)
            missing = ((pictures[views] - render.foreground) * inside).detach()
            (back,) = torch.autograd.grad(render.foreground, painted.texture, missing, retain_graph=True)
            (seen,) = torch.autograd.grad(render.foreground, painted.texture, inside)
        correction += back
        share += seen
        squared += float(missing.square().sum())
        n_values += int(inside.sum())
    better = texture + correction / (share + DAMPING)
    return better.detach(), (squared / max(n_values, 1)) ** 0.5
