"""What an autoencoder makes of outlines, learnt from pictures of the mesh's own outlines in random colours."""

import torch
from torch.nn import functional as F

from core.kinds import Guidance
from core.types import Cameras
from renderers.outline import EncodedOutline
from renderers.rasterize import Rasterizer
from systems.random_streams import stream

#: Colours along each side of an object's picture: an outline seldom has one colour alone.
N_PATCHES = 4
PICTURES_AT_ONCE = 4


@torch.no_grad()
def fit_outline(
    outline: EncodedOutline, rasterizer: Rasterizer, guidance: Guidance, cameras: Cameras, seed: int
) -> float | None:
    """Fit to one picture of each camera.

    Args:
        cameras: in the guidance's latent size.

    Returns:
        The share of the squared error of mixed latents that is explained; None where no outline is in view.
    """
    device, finer, size = cameras.c2w.device, outline.points_per_side, guidance.picture_size
    rng = stream(seed, "outline", 0, device)
    encoded, hits = [], []
    for first in range(0, len(cameras), PICTURES_AT_ONCE):
        few = cameras[first : first + PICTURES_AT_ONCE]
        hits.append(rasterizer(few.resized(finer * few.height, finer * few.width)).mask)
        fine = rasterizer(few.resized(finer * size, finer * size)).mask
        covered = F.avg_pool2d(fine[:, None].float(), finer)[:, 0, ..., None]
        patches = torch.rand(len(few), 3, N_PATCHES, N_PATCHES, generator=rng, device=device)
        objects = F.interpolate(patches, (size, size)).movedim(1, -1)
        backgrounds = torch.rand(len(few), 1, 1, 3, generator=rng, device=device).expand_as(objects)
        pictures = objects, backgrounds, covered * objects + (1 - covered) * backgrounds
        encoded.append([guidance.encode(picture.contiguous()) for picture in pictures])
    objects, backgrounds, both = (torch.cat(latents) for latents in zip(*encoded, strict=True))
    return outline.fit(objects, backgrounds, both, torch.cat(hits))
