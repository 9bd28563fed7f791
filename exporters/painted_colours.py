"""The textures of a painted mesh, each in the layout and the size that its file is to have."""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8

from core.kinds import System
from exporters.mesh_colour import baked_texture, take_photographs
from exporters.painted_files import PaintedTexture
from exporters.painted_surface import seen_mesh
from exporters.phases import Phases
from exporters.texture_bake import bake_photographs
from geometry.mesh import Mesh
from geometry.own_texture import own_look
from geometry.texels import covered_texels, sampled, texels_of_corners
from geometry.texture_sets import texture_side
from geometry.textured_mesh import TexturedMesh

#: How textures are divided: `own`: as the user's file has them, and what is not painted stays in it; `all`: likewise,
#: and what is not painted has one more; `one`: all are one, in a new atlas, with what is not painted too.
Division = Literal["own", "all", "one"]


def painted_textures(
    system: System,
    surface: TexturedMesh,
    size: int,
    n_photographs: int,
    from_views: bool,
    division: Division,
    phases: Phases,
) -> list[PaintedTexture]:
    """All textures that are painted, and where it is wanted one of what is not.

    Args:
        size: height and width of a texture of all that is painted; each of several takes its share.
        from_views: whether decoded views are baked into them; else the texture that is painted is decoded as one
            picture.
        division: how they are divided.
    """
    cameras = system.surrounding_cameras(n_photographs, 2 * system.guidance.latent_size)
    layout, seen = surface.corner_uv.cpu().double().numpy(), seen_mesh(surface, cameras)
    if surface.is_in_one_texture or division == "one":
        if from_views:
            picture = baked_texture(system, seen, size, size, n_photographs, phases)
        else:
            picture = decoded_layout(system, surface, seen)
        materials = surface.mesh.file.material_of_faces()[0]
        new = None if surface.uses_own_uv else layout
        return [PaintedTexture(_with_kept(surface, picture), np.arange(len(layout)), materials, new)]
    photographs = take_photographs(system, n_photographs, phases) if from_views else None
    whole = None if from_views else decoded_layout(system, surface, seen)
    has_rest = division == "all" and not surface.painted.all()
    written, textures = written_uv(surface), list[PaintedTexture]()
    placed = seen_mesh(surface, cameras, written)
    with phases.phase("bake", len(surface.sets)) as bar:
        for own in surface.sets:
            uv = written[own.faces]
            side = texture_side(placed.corners[own.faces], placed.corners[surface.painted], uv, size)
            if whole is not None:
                shown = _brought_over(whole, layout[own.faces], uv, side)
            else:
                assert photographs is not None
                part = placed.with_faces(placed.faces[own.faces])
                shown = bake_photographs(part, photographs, side, side, hidden_by=placed)
            name = own.name if len(surface.sets) > 1 or has_rest else ""
            new = None if own.fault is None else uv
            textures.append(PaintedTexture(shown, own.faces, own.materials, new, name, own.tile))
            bar.update()
    if has_rest:
        textures.append(_kept_texture(surface, layout, size))
    return textures


def _kept_texture(surface: TexturedMesh, layout: Float[np.ndarray, "faces 3 2"], size: int) -> PaintedTexture:
    """What is not painted as its own materials show it, in the layout that it was seen in."""
    file, kept = surface.mesh.file, np.flatnonzero(~surface.painted)
    materials, number = file.material_of_faces()
    own = tuple(materials[index] for index in np.unique(number[kept]))
    return PaintedTexture(_own_picture(surface, size), kept, own, layout[kept], file.material_name(own[0]))


def written_uv(surface: TexturedMesh) -> Float[np.ndarray, "faces 3 2"]:
    """Texture coordinates of several textures, of the faces' corners, v upward; NaN where a file has none."""
    layout, own = surface.corner_uv.cpu().double().numpy(), surface.mesh.corner_uv
    written = np.full_like(layout, np.nan) if own is None else own.copy()
    for each in surface.sets:
        if each.fault is not None:
            written[each.faces] = layout[each.faces]
    return written


def _with_kept(
    surface: TexturedMesh, picture: UInt8[np.ndarray, "rows columns 3"]
) -> UInt8[np.ndarray, "rows columns 3"]:
    """The picture with what is not painted as its own materials show it."""
    if surface.painted.all():
        return picture
    is_kept = surface.texels_of(~surface.painted, len(picture)).bool().numpy()[..., None]
    return np.where(is_kept, _own_picture(surface, len(picture)), picture)


def _own_picture(surface: TexturedMesh, size: int) -> UInt8[np.ndarray, "{size} {size} 3"]:
    layout = surface.corner_uv.cpu().double().numpy()
    own = own_look(surface.mesh, ~surface.painted, (0.0, 0.0, 0.0), layout, size).numpy()
    return np.rint(own.clip(0, 1) * 255).astype(np.uint8)


@torch.no_grad()
def decoded_layout(system: System, surface: TexturedMesh, mesh: Mesh) -> UInt8[np.ndarray, "rows columns 3"]:
    """The texture decoded as one picture; between the charts, the nearest chart's colours.

    Source: Latent-NeRF (arXiv:2211.07600), section 3.4. Of an RGB texture this is the texture itself.
    """
    picture = system.decode(surface.whole_texture()[None])[0].double().cpu().numpy()
    rows, columns, _ = picture.shape
    texels = covered_texels(mesh.uv_with(v_down=False), mesh.faces, rows, columns)
    padded = texels.texture(picture.reshape(-1, 3)[texels.index])
    return np.rint(padded.clip(0, 1) * 255).astype(np.uint8)


def _brought_over(
    picture: UInt8[np.ndarray, "rows columns 3"],
    before: Float[np.ndarray, "faces 3 2"],
    after: Float[np.ndarray, "faces 3 2"],
    side: int,
) -> UInt8[np.ndarray, "side side 3"]:
    """What faces show in a picture, where they lie in another one."""
    texels = texels_of_corners(after, side, side, reach=1.0)
    return np.rint(texels.texture(sampled(picture, texels.within(before)))).astype(np.uint8)
