"""The user's OBJ file with its painted materials exchanged: all other lines stay as they are.

What changes: the name of the material library; `usemtl` where faces had no material, or where tiles of one material get
materials of their own; and, where there is a new atlas, the lines `vt` and the second numbers of corners. The new
library says of the materials in use what the user's said, but for the painted ones' diffuse colour and picture.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from exporters.new_places import NewPlaces
from geometry.mtl_file import MtlMaterial, picture_line
from geometry.obj_file import statements, words_of
from geometry.source_file import encoding_of, utf8_of

#: Folder of the pictures that are kept, beside the written files.
KEPT_PICTURES = "textures"
_MATTE = (b"Ks 0 0 0", b"illum 1")


@dataclass
class _Editor:
    """Takes a file's statements one by one."""

    names: Sequence[str | None]
    places: NewPlaces | None
    end: bytes
    material: str | None = None
    """What `usemtl` has said last, in the new file."""
    polygon: int = 0
    corner: int = 0
    """How many polygons, and corners of polygons, have passed."""
    has_places: bool = field(default=False)

    def edited(self, statement: bytes, words: list[bytes]) -> Iterator[bytes]:
        """What the new file says in place of a statement."""
        match words:
            case [b"usemtl", *name]:
                self.material = b" ".join(name).decode(errors="replace")
                yield statement
            case [b"vt", *_] if self.places:
                return
            case [b"l", *corners] if self.places:
                yield b" ".join([b"l", *(corner.partition(b"/")[0] for corner in corners)]) + self.end
            case [b"f", _, _, _, *_]:
                yield from self._face(statement, words[1:])
            case _:
                yield statement

    def _face(self, statement: bytes, corners: list[bytes]) -> Iterator[bytes]:
        wanted = self.names[self.polygon]
        if wanted is not None and wanted != self.material:
            self.material = wanted
            yield b"usemtl " + wanted.encode() + self.end
        if self.places is None:
            yield statement
        else:
            yield from self._placed(self.places, statement, corners)
        self.polygon += 1
        self.corner += len(corners)

    def _placed(self, places: NewPlaces, statement: bytes, corners: list[bytes]) -> Iterator[bytes]:
        if not self.has_places:  # all of them before the first face
            self.has_places = True
            yield from (f"vt {u:.9g} {v:.9g}".encode() + self.end for u, v in places.uv.tolist())
        _, mark, comment = statement.partition(b"#")
        rest = (b" " + mark + comment.rstrip(b"\r\n") if mark else b"") + self.end
        for piece in places.pieces(self.polygon, self.corner, len(corners)):
            numbers = []
            for corner, place in piece:
                vertex, *others = corners[corner].split(b"/")
                named = [vertex, str(place + 1).encode() if place >= 0 else b"", *others[1:]]
                numbers.append(b"/".join(named).rstrip(b"/"))
            yield b" ".join([b"f", *numbers]) + rest
            rest = self.end


def painted_obj(content: bytes, names: Sequence[str | None], library: str, places: NewPlaces | None = None) -> bytes:
    """The file's content with another library and other materials.

    Args:
        names: of each polygon the material that it is to have; None: as the file says.
        library: the name of the new material library.
        places: new texture coordinates; None: the file's own stay.
    """
    mark, codec = encoding_of(content)
    text = utf8_of(content)
    end = b"\r\n" if b"\r\n" in text else b"\r" if b"\n" not in text and b"\r" in text else b"\n"
    spoken = [(statement, words_of(statement)) for statement in statements(text)]
    has_library = any(words[:1] == [b"mtllib"] for _, words in spoken)
    editor, written, is_named = _Editor(names, places, end), list[bytes](), False
    for statement, words in spoken:
        is_library = words[:1] == [b"mtllib"]
        if not is_named and (is_library or (words and not has_library)):
            written.append(b"mtllib " + library.encode() + end)
            is_named = True
        if not is_library:
            written += editor.edited(statement, words)
    whole = b"".join(written)
    return mark + (whole if codec == "utf-8" else whole.decode().encode(codec))


def painted_library(
    known: Mapping[str, MtlMaterial],
    kept: Sequence[str],
    painted: Mapping[str, tuple[str | None, str]],
    keeps_places: bool,
) -> bytes:
    """A material library of all materials in use.

    Args:
        known: what the user's libraries say.
        kept: materials that stay as they are.
        painted: of each painted material the one that it was, and the file of its new picture.
        keeps_places: whether texture coordinates have stayed, so that other pictures of painted materials still fit.
    """
    lines: list[bytes] = []
    for name in kept:
        if name in known:
            lines += [b"newmtl " + name.encode(), *map(_moved, known[name].lines)]
    for name, (before, picture) in painted.items():
        lines.append(b"newmtl " + name.encode())
        own = _MATTE if before is None or before not in known else known[before].lines
        for line in own:
            word = (line.split(maxsplit=1) or [b""])[0].lower()
            if word not in (b"kd", b"map_kd") and (keeps_places or not picture_line(line)):
                lines.append(_moved(line))
        lines += [b"Kd 1 1 1", b"map_Kd " + picture.encode()]
    return b"\n".join(lines) + b"\n"


def kept_picture(name: str) -> str:
    """Where a picture of the user's lies beside the new library, by its name in the old one."""
    plain = name.strip('"').replace("\\", "/").replace(":", "").lstrip("/")
    return f"{KEPT_PICTURES}/" + "/".join(word for word in plain.split("/") if word not in ("", ".", ".."))


def _moved(line: bytes) -> bytes:
    """A line of the user's library, its picture under its new name."""
    found = picture_line(line)
    return line if found is None else found[0] + kept_picture(found[1].decode(errors="replace")).encode()
