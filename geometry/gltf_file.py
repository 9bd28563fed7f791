"""glTF 2.0 files, parsed once: their JSON, their chunks, and the arrays in their buffers.

Why no library: pygltflib and gltflib decode no accessor and write JSON otherwise than it was; trimesh misreads
normalised and sparse numbers, skins, morph targets and instances (docs/gltf.md has what was measured).

Source: Khronos, glTF 2.0 specification, section 3.6 (buffers and accessors).
"""

import base64
import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geometry.gltf_packed import DRACO, MESHOPT, draco_mesh, meshopt_view
from geometry.source_file import read_beside

COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
#: Numbers of one accessor at most, and of one for which nothing is stored: those are 0 but where it is sparse.
MOST_NUMBERS, MOST_ZEROS = 2**26, 2**22
#: Bytes that compressed views may become altogether: a few of them can stand for any number.
MOST_UNPACKED = 2**28
#: What reading a file runs into where its JSON is inconsistent, or far too deep.
BROKEN = (LookupError, TypeError, ValueError, AttributeError, OverflowError, MemoryError, RecursionError, struct.error)


@dataclass(frozen=True, eq=False)
class Gltf:
    """A glTF file: its JSON, and the chunks that follow it in a binary one."""

    path: Path
    tree: dict[str, Any]
    chunks: tuple[tuple[bytes, bytes], ...] = ()
    """Kind and content of each chunk behind the JSON."""

    @property
    def is_binary(self) -> bool:
        """Whether the file is a GLB: JSON and buffer in one."""
        return self.path.suffix.lower() == ".glb" or bool(self.chunks)

    @property
    def binary(self) -> bytes:
        """The buffer in the file itself."""
        return next((content for kind, content in self.chunks if kind == b"BIN\0"), b"")

    @cached_property
    def _read(self) -> dict[tuple[str, int], Any]:
        """Buffers by number, and what is unpacked by the view that holds it, as they are asked for."""
        return {}

    def buffer(self, index: int) -> bytes:
        """The bytes of a buffer.

        Raises:
            Exception: of BROKEN, where it is shorter than it says.
        """
        if ("buffer", index) not in self._read:
            about = self.item("buffers", index)
            content = self.resource(about["uri"]) if "uri" in about else self.binary
            if len(content) < about["byteLength"]:
                raise ValueError(f"buffer {index} has {len(content):,} bytes instead of {about['byteLength']:,}")
            self._read["buffer", index] = content
        return self._read["buffer", index]

    def item(self, name: str, index: int) -> dict[str, Any]:
        """An object of one of the file's lists, such as "materials".

        Raises:
            Exception: of BROKEN, where there is none.
        """
        if not (isinstance(index, int) and 0 <= index < len(self.tree[name])):
            raise IndexError(f"{name} has no {index}")
        return self.tree[name][index]

    def view(self, index: int) -> bytes:
        """The bytes of a buffer view; unpacked where the file has them compressed alone.

        Raises:
            Exception: of BROKEN, where they do not lie in their buffer.
            UserError: the package that unpacks them is not installed.
        """
        view = self.item("bufferViews", index)
        about, required = view.get("extensions", {}), self.tree.get("extensionsRequired", [])
        packed = [about[name] for name in MESHOPT if name in about and name in required]
        if not packed:
            return self._bytes(index, view)
        if ("meshopt", index) not in self._read:
            left = MOST_UNPACKED - sum(len(found) for (kind, _), found in self._read.items() if kind == "meshopt")
            self._read["meshopt", index] = meshopt_view(self.path, packed[0], self._bytes(index, packed[0]), left)
        return self._read["meshopt", index]

    def _bytes(self, index: int, where: dict[str, Any]) -> bytes:
        begin, length, content = where.get("byteOffset", 0), where["byteLength"], self.buffer(where["buffer"])
        if begin < 0 or length < 0 or begin + length > len(content):
            raise ValueError(f"bufferView {index} reaches beyond its buffer")
        return content[begin : begin + length]

    def resource(self, uri: str) -> bytes:
        """What a URI names: data in itself, or a file in the mesh's own folder.

        Raises:
            UserError: it lies elsewhere, or does not exist.
        """
        if not uri.startswith("data:"):
            return read_beside(self.path, uri)
        return base64.b64decode(uri.partition(",")[2], validate=True)

    def array(self, index: int, kinds: str = "iuf", width: int | None = None) -> NDArray[Any]:
        """The numbers of an accessor, (count, width); whole numbers that stand for shares become float64.

        Args:
            kinds: numpy's letters of the component types that are allowed: i and u for whole numbers, f.
            width: of each element, where it has to be checked.

        Raises:
            Exception: of BROKEN, where it is of another type, or its numbers are not all there.
        """
        accessor = self.item("accessors", index)
        stored = self.stored(index)
        if stored.dtype.kind not in kinds or width not in (None, stored.shape[1]):
            raise ValueError(f"accessor {index} cannot be used so: {accessor['type']} of {stored.dtype}")
        return shares(stored) if accessor.get("normalized") and stored.dtype.kind in "iu" else stored

    def stored(self, index: int) -> NDArray[Any]:
        """The numbers of an accessor as they are stored, (count, width), with sparse ones in their places."""
        accessor = self.item("accessors", index)
        count, width = accessor["count"], WIDTHS[accessor["type"]]
        kind, is_stored = np.dtype(COMPONENTS[accessor["componentType"]]), "bufferView" in accessor
        if not 0 <= count <= (MOST_NUMBERS if is_stored else MOST_ZEROS) // width:
            raise ValueError(f"accessor {index} has {count:,} elements")
        found = self._rows(accessor, kind, count, width) if is_stored else np.zeros((count, width), kind)
        if sparse := accessor.get("sparse"):
            places, found = sparse["indices"], found.copy()
            number = np.dtype(COMPONENTS[places["componentType"]])
            where = self._rows(places, number, sparse["count"], 1)[:, 0]
            if number.kind != "u" or (where >= count).any():
                raise ValueError(f"accessor {index} is sparse in places that it does not have")
            found[where] = self._rows(sparse["values"], kind, sparse["count"], width)
        return found

    def _rows(self, where: dict[str, Any], kind: np.dtype, count: int, width: int) -> NDArray[Any]:
        packed = width * kind.itemsize
        stride = self.item("bufferViews", where["bufferView"]).get("byteStride", packed)
        data, begin = self.view(where["bufferView"]), where.get("byteOffset", 0)
        if stride < packed or begin < 0 or count < 0 or (count and begin + (count - 1) * stride + packed > len(data)):
            raise ValueError(f"bufferView {where['bufferView']} does not hold the {count:,} elements asked of it")
        return np.ndarray((count, width), kind, data, begin, (stride, kind.itemsize))

    def corners(self, primitive: dict[str, Any]) -> NDArray[Any] | None:
        """The numbers of the vertices that make a primitive's triangles, (corners,); None where they are not listed."""
        if DRACO in primitive.get("extensions", {}):
            return self._draco(primitive).faces.reshape(-1)
        return self.array(primitive["indices"], "u", 1)[:, 0] if "indices" in primitive else None

    def attribute(self, primitive: dict[str, Any], name: str) -> NDArray[Any]:
        """The numbers of one of a primitive's attributes as they are stored, (vertices, width)."""
        packed = primitive.get("extensions", {}).get(DRACO, {}).get("attributes", {})
        if name not in packed:
            return self.stored(primitive["attributes"][name])
        found = self._draco(primitive).get_attribute_by_unique_id(packed[name])
        kind = COMPONENTS[self.item("accessors", primitive["attributes"][name])["componentType"]]
        return np.asarray(found["data"]).astype(kind)

    def numbers(self, primitive: dict[str, Any], name: str, width: int, kinds: str = "iuf") -> NDArray[Any] | None:
        """As `attribute`, checked, and with shares where whole numbers stand for them; None where there is none."""
        if name not in primitive["attributes"]:
            return None
        index = primitive["attributes"][name]
        if name not in primitive.get("extensions", {}).get(DRACO, {}).get("attributes", {}):
            return self.array(index, kinds, width)
        found = self.attribute(primitive, name)
        return shares(found) if self.item("accessors", index).get("normalized") and found.dtype.kind in "iu" else found

    def _draco(self, primitive: dict[str, Any]) -> Any:
        """A primitive's mesh as Draco unpacks it.

        Raises:
            UserError: the package that does so is not installed.
        """
        view = primitive["extensions"][DRACO]["bufferView"]
        if ("draco", view) not in self._read:
            self._read["draco", view] = draco_mesh(self.path, self.view(view))
        return self._read["draco", view]


def component_of(kind: np.dtype) -> int:
    """The number that glTF has for a type of numbers."""
    return next(number for number, name in COMPONENTS.items() if np.dtype(name) == kind)


def shares(numbers: NDArray[Any]) -> NDArray[np.float64]:
    """What normalised whole numbers stand for: from -1 or 0 to 1 (section 3.11)."""
    return np.maximum(numbers / np.iinfo(numbers.dtype).max, -1.0)
