"""The user's PLY file with its picture exchanged: other elements and properties stay, text in its own digits.

Where the file's texture coordinates stay, only the comments `TextureFile` change. A new atlas goes into the faces, as
lists `texcoord` of their corners (as MeshLab writes it), so that no vertex is doubled and polygons stay whole; texture
coordinates at the vertices are left out then, and triangle strips become faces.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from exporters.new_places import NewPlaces
from geometry.ply_file import CORNERS, STRIPS, WEDGES, columns, strip_triangles, uv_names

_END = b"end_header"
#: A face's number in the file, its corners, and their places in the texture.
_Face = tuple[int, list[int], list[int]]
_WEDGE = [(WEDGES, object)]


def painted_ply(content: bytes, ply: Any, pictures: Sequence[str], places: NewPlaces | None = None) -> bytes:
    """The file's content with other pictures.

    Args:
        ply: the content, parsed.
        pictures: their files' names, in the order of the file's own.
        places: new texture coordinates; None: the file's own stay.
    """
    if places is not None:
        is_text = ply.text and STRIPS not in ply
        content = _text_with(content, ply, places) if is_text else _binary_with(ply, places)
    head, end, body = _parts(content)
    first, form, *lines = head
    named = [b"comment TextureFile " + picture.encode() for picture in pictures]
    others = [line for line in lines if line.split()[:2] != [b"comment", b"TextureFile"]]
    return end.join([first, form, *named, *others, _END]) + body


def _parts(content: bytes) -> tuple[list[bytes], bytes, bytes]:
    """The header's lines, what ends them, and all behind the word that ends it."""
    begin = content.index(_END)
    end = b"\r\n" if content[:begin].endswith(b"\r\n") else content[begin - 1 : begin]
    return content[:begin].split(end)[:-1], end, content[begin + len(_END) :]


def _faces(outlines: Sequence[Any], places: NewPlaces) -> Iterator[_Face]:
    """The file's faces in their order; a polygon that a seam runs through becomes triangles."""
    polygon, first = 0, 0
    for row, outline in enumerate(outlines):
        if len(outline) < 3:
            yield row, list(outline), []
            continue
        for piece in places.pieces(polygon, first, len(outline)):
            yield row, [outline[corner] for corner, _ in piece], [place for _, place in piece]
        polygon, first = polygon + 1, first + len(outline)


def _text_with(content: bytes, ply: Any, places: NewPlaces) -> bytes:
    """A text file with texture coordinates at its faces' corners."""
    head, end, body = _parts(content)
    corners, at_vertices = _corner_name(ply), uv_names(ply["vertex"].data)
    faces = list(_faces([outline.tolist() for outline in ply["face"].data[corners]], places))
    count = "int" if max(len(on) for _, _, on in faces) > 127 else "uchar"
    lines = list[bytes]()
    for element, line in _of_elements(head):
        gone = {"vertex": at_vertices, "face": (WEDGES,)}.get(element, ())
        words = line.decode(errors="replace").split()
        if words[0] == "element" and element == "face":
            lines.append(f"element face {len(faces)}".encode())
        elif words[0] != "property" or words[-1] not in gone:
            lines.append(line)
    last = max(i for i, (element, _) in enumerate(_of_elements(lines)) if element == "face")
    lines.insert(last + 1, f"property list {count} float {WEDGES}".encode())
    rows, written, at = body.splitlines()[1:], list[bytes](), 0
    for element in ply.elements:
        own = rows[at : at + element.count]
        at += element.count
        if element.name == "vertex" and at_vertices:
            own = [_joined(words for name, words in _named(element, row) if name not in at_vertices) for row in own]
        if element.name == "face":
            own = [_face_row(element, own[row], corners, outline, places.uv[on]) for row, outline, on in faces]
        written += own
    return end.join([*lines, _END, *written, *rows[at:], b""])


def _of_elements(head: Sequence[bytes]) -> Iterator[tuple[str, bytes]]:
    """A header's lines, each with the name of the element that it speaks of."""
    element = ""
    for line in head:
        words = line.decode(errors="replace").split()
        element = words[1] if words[:1] == ["element"] else element
        yield element, line


def _face_row(element: Any, row: bytes, corners: str, outline: list[int], uv: np.ndarray) -> bytes:
    """A face's line with other corners and with their texture coordinates."""
    listed = [str(number).encode() for number in (len(outline), *outline)]
    words = [listed if name == corners else own for name, own in _named(element, row) if name != WEDGES]
    places = [f"{number:.9g}".encode() for number in uv.reshape(-1).tolist()]
    return _joined([*words, [str(len(places)).encode(), *places]])


def _joined(words: Iterable[list[bytes]]) -> bytes:
    return b" ".join(word for some in words for word in some)


def _named(element: Any, row: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """The words of an element's line, property by property; a list's length is one of its words."""
    from plyfile import PlyListProperty

    words = row.split()
    for entry in element.properties:
        n_words = 1 + int(words[0]) if isinstance(entry, PlyListProperty) else 1
        yield entry.name, words[:n_words]
        words = words[n_words:]


def _binary_with(ply: Any, places: NewPlaces) -> bytes:
    """A file, written anew by plyfile, with texture coordinates at its faces' corners."""
    from plyfile import PlyData, PlyElement

    before, corners = ply["face"].data if "face" in ply else np.empty(0, [(CORNERS[0], object)]), _corner_name(ply)
    outlines = [
        *(outline.tolist() for outline in before[corners]),
        *(strip_triangles(ply).tolist() if STRIPS in ply else ()),
    ]
    faces = list(_faces(outlines, places))
    data = np.zeros(len(faces), _native(before, [name for name in columns(before) if name != WEDGES]) + _WEDGE)
    rows = [row for row, _, _ in faces if row < len(before)]  # the others come from strips
    for name in columns(data)[:-1]:
        data[name][: len(rows)] = before[name][rows]
    for name, lists in ((corners, [outline for _, outline, _ in faces]), (WEDGES, [places.uv[on] for *_, on in faces])):
        for i, numbers in enumerate(lists):
            data[name][i] = np.asarray(numbers).reshape(-1)
    known = _list_types(ply["face"]) if "face" in ply else ({corners: "u1"}, {corners: "i4"})
    lengths, values = known[0] | {WEDGES: "i4"}, known[1] | {WEDGES: "f4"}
    changed = {"face": PlyElement.describe(data, "face", lengths, values), "vertex": _without_places(ply["vertex"])}
    elements = [changed.pop(element.name, element) for element in ply.elements if element.name != STRIPS]
    file = io.BytesIO()
    whole = [*elements, *changed.values()]
    order = (
        "=" if ply.text else "<"
    )  # plyfile 1.1.5 writes big-endian numbers beside lists with their bytes turned over
    PlyData(whole, text=ply.text, byte_order=order, comments=ply.comments, obj_info=ply.obj_info).write(file)
    return file.getvalue()


def _without_places(element: Any) -> Any:
    """The vertices without texture coordinates."""
    from plyfile import PlyElement

    data = element.data
    kept = [name for name in columns(data) if name not in uv_names(data)]
    fewer = np.empty(len(data), _native(data, kept))
    for name in kept:
        fewer[name] = data[name]
    return PlyElement.describe(fewer, "vertex", *_list_types(element))


def _native(data: np.ndarray, names: Sequence[str]) -> list[tuple[str, Any]]:
    """Types of columns in the machine's own byte order: plyfile turns them to the file's."""
    return [(name, data.dtype[name].newbyteorder("=")) for name in names]


def _list_types(element: Any) -> tuple[dict[str, str], dict[str, str]]:
    """Of an element's lists the types of their lengths, and of their values."""
    from plyfile import PlyListProperty

    lists = [entry for entry in element.properties if isinstance(entry, PlyListProperty)]
    return {entry.name: entry.len_dtype for entry in lists}, {entry.name: entry.val_dtype for entry in lists}


def _corner_name(ply: Any) -> str:
    faces = ply["face"].data if "face" in ply else ()
    return next((name for name in CORNERS if name in columns(faces)), CORNERS[0])
