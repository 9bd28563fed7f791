"""Renderings put together view by view."""

from collections.abc import Sequence

import torch

from core.types import RenderOutput


def joined(outputs: Sequence[RenderOutput]) -> RenderOutput:
    """Renderings of some views each as one batch. The samples along rays, which only losses need, are left out."""
    normals = [output.normals for output in outputs if output.normals is not None]
    return RenderOutput(
        latents=torch.cat([output.latents for output in outputs]),
        opacity=torch.cat([output.opacity for output in outputs]),
        depth=torch.cat([output.depth for output in outputs]),
        normals=torch.cat(normals) if normals else None,
        foreground=torch.cat([output.foreground for output in outputs]),
        samples=None,
    )
