"""Pictures of a mesh before it is painted: with the texture that it came with, or bare and in light.

A bare mesh of one colour shows nothing but its outline: where a wall meets a roof is then for the diffusion model to
guess. In light, its edges are there to be followed.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from core.kinds import Renderer
from core.part import Choice
from core.types import Cameras
from geometry.own_texture import read_own_texture
from geometry.textured_mesh import TexturedMesh
from systems.random_streams import stream
from systems.shading import Light, shade
from systems.texture_fit import Nothing, Repainted

#: A mesh's own texture is read at this size: finer than its views can show.
OWN_TEXTURE_SIZE = 1024
GREY = 0.5
#: Where light comes from, above and a little before the mesh to its left, and how bright the other side stays.
LIGHT, AMBIENT = (0.4, 1.0, 0.6), 0.4


def own_pictures(
    surface: TexturedMesh, renderer: Choice[Renderer], cameras: Cameras
) -> Float[Tensor, "views rows columns 3"]:
    """Views of the mesh with the texture that it came with, RGB before grey, in the cameras' size.

    Raises:
        UserError: it came with none that can be used.
    """
    device = surface.texture.device
    picture = read_own_texture(surface.mesh, OWN_TEXTURE_SIZE).to(device)
    corner_uv = surface.mesh.corner_uv
    assert corner_uv is not None, "a texture without coordinates is refused"
    return _before_grey(Repainted(surface, picture, torch.from_numpy(corner_uv).float().to(device)), renderer, cameras)


def lit_pictures(
    surface: TexturedMesh, renderer: Choice[Renderer], cameras: Cameras
) -> Float[Tensor, "views rows columns 3"]:
    """Views of the mesh in one colour, its settings' `start_color`, in light, RGB before grey, in the cameras' size."""
    color = torch.tensor(surface.config.start_color, device=surface.texture.device)
    toward = F.normalize(torch.tensor(LIGHT, device=color.device), dim=0)
    return _before_grey(Repainted(surface, color.expand(1, 1, 3).clone()), renderer, cameras, toward)


@torch.no_grad()
def _before_grey(
    surface: Repainted, renderer: Choice[Renderer], cameras: Cameras, toward: Float[Tensor, "3"] | None = None
) -> Float[Tensor, "views rows columns 3"]:
    """One view after the other, lit where there is a direction `toward` the lamp."""
    draw, rng, pictures = renderer.build(surface), stream(0, "first pictures", 0, cameras.c2w.device), []
    light = None if toward is None else Light(toward[None], toward.new_full((1,), AMBIENT))
    for i in range(len(cameras)):
        render = draw(surface, Nothing(3), cameras[i : i + 1], rng, with_normals=light is not None)
        pictures.append(shade(render, light) + (1 - render.opacity[..., None]) * GREY)
    return torch.cat(pictures)
