"""Pictures of a mesh before it is painted: with the texture that it came with, or bare and in light.

A bare mesh of one colour shows nothing but its outline: where a wall meets a roof is then for the diffusion model to
guess. In light, its edges are there to be followed.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from core.chance import stream
from core.kinds import FirstLook, Renderer, TexturedSurface
from core.part import Choice
from core.types import Cameras
from renderers.backgrounds import NoBackground
from systems.shading import Light, shade
from systems.texture_fit import Repainted

GREY = 0.5
#: Where light comes from, above and a little before the mesh to its left, and how bright the other side stays.
LIGHT, AMBIENT = (0.4, 1.0, 0.6), 0.4


@torch.no_grad()
def first_look_pictures(
    surface: TexturedSurface, look: FirstLook, renderer: Choice[Renderer], cameras: Cameras
) -> Float[Tensor, "views rows columns 3"]:
    """The surface's first look on grey, RGB in the cameras' size; views are rendered one by one, for memory."""
    device = surface.corner_uv.device
    corner_uv = None if look.corner_uv is None else look.corner_uv.to(device)
    shown = Repainted(surface, look.texture.to(device), corner_uv)
    light = None
    if look.is_lit:
        toward = F.normalize(torch.tensor(LIGHT, device=device), dim=0)
        light = Light(toward[None], toward.new_full((1,), AMBIENT))
    unlit = None if look.is_own is None else look.is_own.to(device)[..., None].expand(-1, -1, 3).float()
    draw, behind, rng = renderer.build(shown), NoBackground(3), stream(0, "first pictures", 0, device)
    pictures = []
    for i in range(len(cameras)):
        camera = cameras[i : i + 1]
        render = draw(shown, behind, camera, rng, with_normals=look.is_lit)
        picture = shade(render, light)
        if unlit is not None:
            own = draw(Repainted(surface, unlit, corner_uv), behind, camera, rng).foreground
            picture = torch.lerp(picture, render.foreground, own / render.opacity[..., None].clamp_min(1e-6))
        pictures.append(picture + (1 - render.opacity[..., None]) * GREY)
    return torch.cat(pictures)
