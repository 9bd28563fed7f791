"""A glTF file with things added to it: where they are put, how it is written, and what has changed in its JSON."""

import base64
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from core.errors import UserError
from core.files import write_whole
from exporters.glb import ARRAY, INDICES, png_bytes
from geometry.gltf_container import container
from geometry.gltf_file import Gltf
from geometry.gltf_packed import DRACO

#: How pictures begin, and what they are called.
_KINDS = {b"\x89PNG": "image/png", b"\xff\xd8": "image/jpeg", b"\xabKTX 20": "image/ktx2"}


class Additions:
    """The JSON of a glTF file, to be changed, and the bytes that are put behind its own.

    They go into the buffer that lies in a GLB itself, where there is one, else into a buffer of their own.
    """

    def __init__(self, gltf: Gltf) -> None:
        """Take a parsed file, which stays as it is."""
        self.gltf, self.tree = gltf, copy.deepcopy(gltf.tree)
        tree = self.tree
        self._data = bytearray()
        self._files: dict[str, bytes] = {}
        buffers = tree.get("buffers", [])
        self._in_chunk = gltf.is_binary and (not buffers or "uri" not in buffers[0])
        self._buffer = 0 if self._in_chunk else len(buffers)
        self._begin = len(gltf.binary) + -len(gltf.binary) % 4 if self._in_chunk else 0

    def array(
        self, rows: NDArray[Any], like: int | dict[str, Any], is_position: bool = False, is_index: bool = False
    ) -> int:
        """Add numbers (count, width), and give the number of their accessor.

        Args:
            like: the accessor whose numbers they replace, or what the new one says of itself.
        """
        before = self.gltf.item("accessors", like) if isinstance(like, int) else like
        left_out = ("bufferView", "byteOffset", "sparse", "count", "min", "max")
        accessor = {name: value for name, value in before.items() if name not in left_out}
        if (is_position or "min" in before) and len(rows) and np.isfinite(rows).all():
            accessor |= {"min": rows.min(axis=0).tolist(), "max": rows.max(axis=0).tolist()}
        size = rows.dtype.itemsize * rows.shape[1]
        stride = size if is_index else size + -size % 4  # vertices begin at multiples of four bytes
        padded = np.zeros((len(rows), stride), np.uint8)
        padded[:, :size] = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), size)
        more = {"byteStride": stride} if stride != size else {}
        view = self._view(padded.tobytes(), target=INDICES if is_index else ARRAY, **more)
        self.tree.setdefault("accessors", []).append({"bufferView": view, **accessor, "count": len(rows)})
        return len(self.tree["accessors"]) - 1

    def picture(self, picture: UInt8[np.ndarray, "rows columns channels"]) -> int:
        """Add a picture, and give the number of its image."""
        content = png_bytes(picture)
        images = self.tree.setdefault("images", [])
        if self.gltf.is_binary:
            images.append({"name": "painted", "bufferView": self._view(content), "mimeType": "image/png"})
        else:
            images.append({"name": "painted", "uri": self._file("painted", ".png", content)})
        return len(images) - 1

    def save(self, path: Path) -> list[Path]:
        """Write the file, and those that it refers to, each whole or not at all; the file itself comes last.

        Files that it referred to before lie beside it as they did beside the original. One whose name is taken by
        something else, or leads out of the folder, goes into the JSON itself.

        Returns:
            The file, and those that it refers to.
        """
        self._forget(DRACO)
        self._close_buffer()
        written = []
        for name, content in [*self._companions(path.parent), *self._files.items()]:
            file = path.parent / name
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, content)
            written.append(file)
        if self.gltf.is_binary:
            chunk = self.gltf.binary
            if self._in_chunk and self._data:
                chunk = chunk.ljust(self._begin, b"\0") + bytes(self._data)
            others = [(kind, content) for kind, content in self.gltf.chunks if kind != b"BIN\0"]
            write_whole(path, container(self.tree, [(b"BIN\0", chunk)] * bool(chunk) + others))
        else:
            write_whole(path, json.dumps(self.tree, indent=1, ensure_ascii=False).encode())
        return [path, *written]

    def changes(self, before: dict[str, Any]) -> list[str]:
        """Where the JSON differs from what it was, as JSON pointers (RFC 6901)."""
        return list(_differences(before, self.tree, ""))

    def _view(self, content: bytes, **more: Any) -> int:
        views = self.tree.setdefault("bufferViews", [])
        begin = self._begin + len(self._data)
        views.append({"buffer": self._buffer, "byteOffset": begin, "byteLength": len(content), **more})
        self._data += content + bytes(-len(content) % 4)
        return len(views) - 1

    def _forget(self, extension: str) -> None:
        """Say no more that an extension of primitives is needed, where none has it any more."""
        if any(extension in one.get("extensions", {}) for mesh in self.tree["meshes"] for one in mesh["primitives"]):
            return
        for name in ("extensionsUsed", "extensionsRequired"):
            if extension in self.tree.get(name, []):
                self.tree[name].remove(extension)
                if not self.tree[name]:  # the standard allows no empty list
                    del self.tree[name]

    def _close_buffer(self) -> None:
        if not self._data:
            return
        buffers = self.tree.setdefault("buffers", [])
        length = self._begin + len(self._data)
        if self._in_chunk:
            buffers[:1] = [{**(buffers[0] if buffers else {}), "byteLength": length}]
        elif self.gltf.is_binary:
            data = "data:application/octet-stream;base64," + base64.b64encode(self._data).decode()
            buffers.append({"uri": data, "byteLength": length})
        else:
            buffers.append({"uri": self._file("painted", ".bin", bytes(self._data)), "byteLength": length})

    def _file(self, stem: str, suffix: str, content: bytes) -> str:
        """Put a file beside, and give its name, which nothing else in the file has."""
        taken = {unquote(str(one["uri"])) for one in self._with_uri()} | {*self._files}
        names = (f"{stem}{number or ''}{suffix}" for number in range(len(taken) + 1))
        name = next(name for name in names if name not in taken)
        self._files[name] = content
        return name

    def _with_uri(self) -> list[dict[str, Any]]:
        """Buffers and images that lie in other files."""
        listed = [*self.tree.get("buffers", []), *self.tree.get("images", [])]
        return [one for one in listed if "uri" in one and not one["uri"].startswith("data:")]

    def _companions(self, folder: Path) -> Iterator[tuple[str, bytes]]:
        """Names and contents of the files that the original refers to; those that are missing stay so."""
        for one in self._with_uri():
            name = unquote(one["uri"]).strip()
            if name in self._files:
                continue
            try:
                content = self.gltf.resource(one["uri"])
            except UserError:
                continue  # missing: it was not needed to read the mesh
            file = folder / name
            is_inside = file.resolve().is_relative_to(folder.resolve())
            if not is_inside or (file.exists() and not (file.is_file() and file.read_bytes() == content)):
                kind = one.get("mimeType") or _kind_of(content, "application/octet-stream")
                one["uri"] = f"data:{kind};base64," + base64.b64encode(content).decode()
            else:
                yield name, content


def as_binary(gltf: Gltf) -> Gltf:
    """The same file as a GLB: its buffers one after the other, and its pictures, in one."""
    tree, data = copy.deepcopy(gltf.tree), bytearray()

    def put(content: bytes) -> int:
        begin = len(data)
        data.extend(content + bytes(-len(content) % 4))
        return begin

    # Where views are compressed, their plain bytes have a buffer that is announced and nowhere: it stays one.
    absent = [about for about in tree.get("buffers", []) if "uri" not in about]
    moved = list[tuple[int, int]]()
    for index, about in enumerate(tree.get("buffers", [])):
        is_there = "uri" in about
        place = (0, put(gltf.buffer(index)[: about["byteLength"]])) if is_there else (1 + absent.index(about), 0)
        moved.append(place)
    for view in tree.get("bufferViews", []):
        for each in (view, *(one for one in view.get("extensions", {}).values() if "buffer" in one)):
            number, begin = moved[each["buffer"]]
            each |= {"buffer": number, "byteOffset": begin + each.get("byteOffset", 0)}
    for image in tree.get("images", []):
        try:
            content = gltf.resource(image["uri"]) if "uri" in image else b""
        except UserError:
            continue  # missing: it was not needed to read the mesh
        if content:
            about = {"buffer": 0, "byteOffset": put(content), "byteLength": len(content)}
            tree.setdefault("bufferViews", []).append(about)
            del image["uri"]
            image |= {"mimeType": _kind_of(content, "image/webp"), "bufferView": len(tree["bufferViews"]) - 1}
    return Gltf(gltf.path, {**tree, "buffers": [{"byteLength": len(data)}, *absent]}, ((b"BIN\0", bytes(data)),))


def _kind_of(content: bytes, otherwise: str) -> str:
    return next((kind for mark, kind in _KINDS.items() if content.startswith(mark)), otherwise)


def _differences(before: Any, after: Any, path: str) -> Iterator[str]:
    """Where two JSON values differ: the deepest places that are all different, or are only in one of them."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*before, *(name for name in after if name not in before)]:
            step = f"{path}/{name.replace('~', '~0').replace('/', '~1')}"
            if name in before and name in after:
                yield from _differences(before[name], after[name], step)
            else:
                yield step
    elif isinstance(before, list) and isinstance(after, list) and any(isinstance(one, dict | list) for one in after):
        for index in range(max(len(before), len(after))):
            if index < min(len(before), len(after)):
                yield from _differences(before[index], after[index], f"{path}/{index}")
            else:
                yield f"{path}/{index}"
    elif before != after or type(before) is not type(after):
        yield path
