"""Latents of pixels that an object covers in part, as an autoencoder would encode them.

Latents do not mix as light does. What an autoencoder makes of a pixel at an object's outline is not the mean of what
it makes of the object and of the background, and a diffusion model that is shown such means sees an object that melts
into whatever is behind it. But it is nearly linear in both, for any one way in which the outline runs through:

    z = a o + (1 - a) b + sum_k h_k (A_k o + B_k b + c_k) + A o + B b + c

    o, b   latents of the object alone and of the background alone
    a      the share of the pixel that the object covers
    h_k    whether point k, of those in the pixel and its eight neighbours, meets the object: 1 or 0

A, B, c are found once by least squares, from pictures that the autoencoder has encoded. Elsewhere z is o or b.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from core.kinds import Encode
from core.types import Cameras
from renderers.rasterize import Rasterizer

#: Most points along each side of a pixel: the equations grow with the fourth power.
MOST_POINTS = 4
#: Weight of the squared coefficients beside the squared errors: a picture's worth of outline is some hundred pixels.
RIDGE = 10.0
#: Colours along each side of a picture to learn from: an outline seldom has one colour alone.
N_PATCHES = 4
PICTURES_AT_ONCE = 4


class EncodedOutline(nn.Module):
    """What to add to mixed latents along outlines; nothing until it has been fitted."""

    coefficients: Float[Tensor, "points terms channels"]
    is_fitted: Bool[Tensor, ""]

    def __init__(self, n_channels: int, points_per_side: int) -> None:
        """
        Args:
            points_per_side: points along each side of a pixel of which is known whether they meet the object.
        """
        super().__init__()
        self.points_per_side = points_per_side
        n_points = (3 * points_per_side) ** 2
        self.register_buffer("coefficients", torch.zeros(n_points + 1, 2 * n_channels + 1, n_channels))
        self.register_buffer("is_fitted", torch.tensor(False))

    def forward(
        self,
        foreground: Float[Tensor, "views height width channels"],
        opacity: Float[Tensor, "views height width"],
        background: Float[Tensor, "views height width channels"],
        hit: Bool[Tensor, "views rows columns"],
    ) -> Float[Tensor, "views height width channels"]:
        """What mixed latents lack of those that the autoencoder would have made; 0 beside outlines.

        Args:
            foreground: premultiplied by the opacity.
            hit: which points of the finer grid meet the object; rows = height x points_per_side.
        """
        pixel, points = self._outline(hit)
        objects = _beyond_outline(foreground, opacity).flatten(0, 2)[pixel]
        terms = _terms(objects, background.flatten(0, 2)[pixel])
        lacking = torch.einsum("ek,et,ktc->ec", points.to(terms), terms, self.coefficients.to(terms))
        nothing = torch.zeros_like(foreground).flatten(0, 2)
        return nothing.index_add(0, pixel, lacking.to(nothing)).view_as(foreground)

    @torch.no_grad()
    def fit(
        self,
        objects: Float[Tensor, "views height width channels"],
        backgrounds: Float[Tensor, "views height width channels"],
        encoded: Float[Tensor, "views height width channels"],
        hit: Bool[Tensor, "views rows columns"],
    ) -> float | None:
        """Learn from pictures.

        Args:
            objects: latents of pictures that show the object's colours everywhere.
            backgrounds: latents of the backgrounds alone.
            encoded: latents of the one inside the outline before the other.
            hit: which points meet the object.

        Returns:
            The share of the squared error of mixed latents that is explained along these pictures' outlines; None where
            no outline is in view, and nothing has been learnt.
        """
        hit = hit.cpu()  # in double precision, which not every device has
        pixel, points = self._outline(hit)
        if len(pixel) == 0:
            return None
        o, b, z = (latents.cpu().flatten(0, 2)[pixel].double() for latents in (objects, backgrounds, encoded))
        covered = F.avg_pool2d(hit[:, None].double(), self.points_per_side).flatten()[pixel, None]
        missing = z - (covered * o + (1 - covered) * b)
        inputs = torch.einsum("ek,et->ekt", points.double(), _terms(o, b)).flatten(1)
        ridge = RIDGE * torch.eye(inputs.shape[1], dtype=inputs.dtype)
        found = torch.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ missing)
        self.coefficients.copy_(found.view_as(self.coefficients))
        self.is_fitted.fill_(True)
        left = (missing - inputs @ found).square().sum()
        return float(1 - left / missing.square().sum().clamp_min(torch.finfo(left.dtype).tiny))

    @torch.no_grad()
    def fit_to_views(
        self, rasterizer: Rasterizer, encode: Encode, cameras: Cameras, picture_size: int, rng: Generator
    ) -> float | None:
        """Learn from pictures of a mesh's own outlines in random colours, one from each camera.

        Args:
            cameras: in the size of latents.
            picture_size: height and width of the pictures to encode, in pixels.

        Returns:
            As `fit`.
        """
        device, finer = cameras.c2w.device, self.points_per_side
        encoded, hits = [], []
        for first in range(0, len(cameras), PICTURES_AT_ONCE):
            few = cameras[first : first + PICTURES_AT_ONCE]
            hits.append(rasterizer(few.resized(finer * few.height, finer * few.width)).mask)
            fine = rasterizer(few.resized(finer * picture_size, finer * picture_size)).mask
            covered = F.avg_pool2d(fine[:, None].float(), finer)[:, 0, ..., None]
            patches = torch.rand(len(few), 3, N_PATCHES, N_PATCHES, generator=rng, device=device)
            objects = F.interpolate(patches, (picture_size, picture_size)).movedim(1, -1)
            backgrounds = torch.rand(len(few), 1, 1, 3, generator=rng, device=device).expand_as(objects)
            pictures = objects, backgrounds, covered * objects + (1 - covered) * backgrounds
            encoded.append([encode(picture.contiguous()) for picture in pictures])
        objects, backgrounds, both = (torch.cat(latents) for latents in zip(*encoded, strict=True))
        return self.fit(objects, backgrounds, both, torch.cat(hits))

    def _outline(
        self, hit: Bool[Tensor, "views rows columns"]
    ) -> tuple[Int[Tensor, "outline"], Float[Tensor, "outline points"]]:
        """Pixels near which some points meet the object and some do not, and which do; the last one is always 1."""
        k = self.points_per_side
        around = F.pad(hit[:, None].float(), (k, k, k, k), mode="replicate")
        some, none = F.max_pool2d(around, 3 * k, stride=k), F.max_pool2d(1 - around, 3 * k, stride=k)
        view, _, row, column = (some * none).nonzero(as_tuple=True)
        windows = around[:, 0].unfold(1, 3 * k, k).unfold(2, 3 * k, k)  # seen, not copied: few are outlines
        points = windows[view, row, column].flatten(1)
        height, width = windows.shape[1:3]
        return (view * height + row) * width + column, F.pad(points, (0, 1), value=1.0)


def _terms(
    objects: Float[Tensor, "outline channels"], backgrounds: Float[Tensor, "outline channels"]
) -> Float[Tensor, "outline terms"]:
    """Both latents of each pixel and a 1."""
    return torch.cat([objects, backgrounds, torch.ones_like(objects[:, :1])], dim=-1)


def _beyond_outline(
    foreground: Float[Tensor, "views height width channels"], opacity: Float[Tensor, "views height width"]
) -> Float[Tensor, "views height width channels"]:
    """The object's own latents, and right beside it those of the nearest pixels; 0 farther off."""
    weighted = torch.cat([foreground, opacity[..., None]], dim=-1).movedim(-1, 1)
    around = F.avg_pool2d(weighted, 3, stride=1, padding=1)
    own = torch.where(weighted[:, -1:] > 0, weighted, around).movedim(1, -1)
    return own[..., :-1] / own[..., -1:].clamp_min(torch.finfo(own.dtype).eps)
