"""The one picture that a mesh shows, for tests of reading it."""

from jaxtyping import Float
from torch import Tensor

from geometry.mesh import Mesh
from geometry.own_texture import own_pictures, read_picture, without_texture


def read_own_texture(mesh: Mesh, size: int) -> Float[Tensor, "{size} {size} 3"]:
    """RGB in [0, 1], row 0 on top, brought to size x size."""
    pictures = set(own_pictures(mesh.file).values()) if mesh.uv is not None else set()
    if not pictures:
        raise without_texture(mesh)
    (picture,) = pictures
    return read_picture(mesh.file.path, picture, size)
