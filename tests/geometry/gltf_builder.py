"""glTF files put together by hand: any JSON, any arrays."""

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.geometry.small_meshes import packed_glb

COMPONENTS = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
KINDS = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
#: A square of two triangles in the plane z = 0, seen from +z; u to the right, v downward.
SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], "<f4")
SQUARE_UV = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], "<f4")
SQUARE_FACES = np.array([0, 1, 2, 0, 2, 3], "<u2")


class GltfBuilder:
    """A file that grows: `tree` is its JSON, its one buffer is filled by `add` and `view`."""

    def __init__(self, **tree: Any) -> None:
        self.tree: dict[str, Any] = {"asset": {"version": "2.0"}, "bufferViews": [], "accessors": [], **tree}
        self.data = bytearray()

    def view(self, content: bytes, **more: Any) -> int:
        self.data += bytes(-len(self.data) % 4)
        self.tree["bufferViews"].append({"buffer": 0, "byteOffset": len(self.data), "byteLength": len(content), **more})
        self.data += content
        return len(self.tree["bufferViews"]) - 1

    def add(self, array: NDArray[Any], **more: Any) -> int:
        """An accessor of rows of numbers; `more` goes into it."""
        rows = array.reshape(len(array), -1)
        stride = rows.dtype.itemsize * rows.shape[1]
        is_attribute, content = rows.shape[1] > 1, rows
        if is_attribute and stride % 4:
            content = np.zeros((len(rows), stride + -stride % 4), np.uint8)
            content[:, :stride] = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
        strides = {"byteStride": stride + -stride % 4} if is_attribute and stride % 4 else {}
        component = COMPONENTS[rows.dtype.str.lstrip("<|")]
        about = {"bufferView": self.view(content.tobytes(), **strides), "componentType": component}
        self.tree["accessors"].append({**about, "type": KINDS[rows.shape[1]], "count": len(rows), **more})
        return len(self.tree["accessors"]) - 1

    def position(self, array: NDArray[Any], **more: Any) -> int:
        """Positions, with the bounds that the standard wants."""
        return self.add(array, min=array.min(axis=0).tolist(), max=array.max(axis=0).tolist(), **more)

    def sparse(self, count: int, places: list[int], rows: NDArray[Any], **more: Any) -> int:
        """An accessor of zeros but in some places."""
        indices = {"bufferView": self.view(np.array(places, "<u2").tobytes()), "componentType": 5123}
        values = {"bufferView": self.view(rows.tobytes())}
        sparse = {"count": len(places), "indices": indices, "values": values}
        about = {"componentType": COMPONENTS[rows.dtype.str.lstrip("<|")], "type": KINDS[rows.shape[1]]}
        self.tree["accessors"].append({**about, "count": count, "sparse": sparse, **more})
        return len(self.tree["accessors"]) - 1

    def image(self, picture: NDArray[np.uint8], kind: str = "png", **more: Any) -> int:
        """An image in the buffer."""
        about = {"bufferView": self.view(encoded(picture, kind)), "mimeType": f"image/{kind}", **more}
        self.tree.setdefault("images", []).append(about)
        return len(self.tree["images"]) - 1

    def square(self, **primitive: Any) -> dict[str, Any]:
        """A primitive: the square with its texture coordinates."""
        attributes = {"POSITION": self.position(SQUARE), "TEXCOORD_0": self.add(SQUARE_UV)}
        return {
            "attributes": {**attributes, **primitive.pop("attributes", {})},
            "indices": self.add(SQUARE_FACES),
            **primitive,
        }

    def scene(self, *nodes: dict[str, Any]) -> None:
        """Nodes, all of them at the root of the only scene."""
        self.tree |= {"scene": 0, "scenes": [{"nodes": list(range(len(nodes)))}], "nodes": list(nodes)}

    def glb(self) -> bytes:
        tree = {**self.tree, "buffers": [{"byteLength": len(self.data)}]} if self.data else self.tree
        return packed_glb(tree, bytes(self.data) + bytes(-len(self.data) % 4))

    def uri(self) -> str:
        return "data:application/octet-stream;base64," + base64.b64encode(self.data).decode()


def encoded(picture: NDArray[Any], kind: str = "png") -> bytes:
    """A picture as a file; WebP without loss."""
    file = io.BytesIO()
    options = {"lossless": True} if kind == "webp" else {}
    Image.fromarray(picture).save(file, format=kind.upper(), **options)
    return file.getvalue()
