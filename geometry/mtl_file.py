"""Material libraries of OBJ files: which picture a material shows, and where; read for the picture, kept as they are.

Source: Wavefront, "MTL material format" (1995). Names may hold spaces, and backslashes between folders.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from geometry.source_file import read_beside, utf8_of

#: Lines that name a picture.
_PICTURE = re.compile(rb"map_\w+|bump|disp|decal|norm|refl", re.IGNORECASE)
_BASE = b"map_kd"
#: How many words follow an option of such a line; of those with three, the last two may be missing.
_N_WORDS = {b"-mm": 2, b"-o": 3, b"-s": 3, b"-t": 3}
_LIBRARY = re.compile(rb"\S.*?\.mtl(?=\s|$)", re.IGNORECASE)


@dataclass
class MtlMaterial:
    """A material of a library."""

    lines: list[bytes] = field(default_factory=list)
    """What the library says of it, `newmtl` left out."""
    colour: tuple[float, float, float] | None = None
    """Kd: diffuse, sRGB in [0, 1] as programs show it."""
    picture: str | None = None
    """Of the diffuse colour, with slashes between folders."""
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)
    """The picture is looked up at uv * scale + offset."""


def read_libraries(path: Path, libraries: Iterable[str]) -> dict[str, MtlMaterial]:
    """The materials of an OBJ file's libraries, by name; the first of a name counts.

    Raises:
        UserError: a library lies outside of the mesh's folder, does not exist, or cannot be read.
    """
    found: dict[str, MtlMaterial] = {}
    for library in libraries:
        own: dict[str, MtlMaterial] = {}
        current = MtlMaterial()
        for line in utf8_of(read_beside(path, library)).splitlines():
            word, rest = (*line.split(maxsplit=1), b"", b"")[:2]
            if word == b"newmtl":
                current = own.setdefault(rest.strip().decode(errors="replace"), MtlMaterial())
            else:
                current.lines.append(line)
                _take(current, word.lower(), rest.strip())
        found = own | found
    return found


def library_names(rest: bytes) -> list[str]:
    """The files that a line `mtllib` names: several, with spaces between or in their names."""
    found = _LIBRARY.findall(rest) or [rest]
    return [name.decode(errors="replace") for name in found]


def picture_line(line: bytes) -> tuple[bytes, bytes] | None:
    """What stands before the name of a picture, options included, and the name; None where a line names none."""
    word = line.split(maxsplit=1)[0] if line.split() else b""
    if not _PICTURE.fullmatch(word):
        return None
    start = line.index(word) + len(word)
    options = _options(line[start:])
    start += sum(len(text) for text, _ in options)
    name = line[start:].strip()
    return (line[: line.index(name, start)], name) if name else None


def _options(text: bytes) -> list[tuple[bytes, list[bytes]]]:
    """The options at the beginning of a text: each as it stands, and its words."""
    found = []
    while option := re.match(rb"\s*(-[a-zA-Z]+)(?=\s)", text):
        n_words = _N_WORDS.get(option[1].lower(), 1)
        number = rb"\s+[-+]?[\d.]+(?:e[-+]?\d+)?(?=\s)"
        words = rb"(?:" + number + rb"){1,3}" if n_words == 3 else rb"(?:\s+\S+(?=\s)){%d}" % n_words
        values = re.match(words, text[option.end() :], re.IGNORECASE)
        if values is None:
            break
        whole = text[: option.end() + values.end()]
        found.append((whole, [option[1].lower(), *values[0].split()]))
        text = text[len(whole) :]
    return found


def _take(material: MtlMaterial, word: bytes, rest: bytes) -> None:
    """Note a line's colour or picture; a broken number leaves the material without it, as a missing line would."""
    with suppress(ValueError):
        if word == b"kd":
            red, green, blue = (float(number) for number in (rest.split() * 3)[:3])
            material.colour = (red, green, blue)
    named = picture_line(b"map_Kd " + rest) if word == _BASE else None
    if named is not None:
        material.picture = named[1].decode(errors="replace").replace("\\", "/")
        options = {words[0]: words[1:] for _, words in _options(b" " + rest)}
        with suppress(ValueError):
            material.scale = _pair(options.get(b"-s", []), 1.0)
            material.offset = _pair(options.get(b"-o", []), 0.0)


def _pair(numbers: list[bytes], default: float) -> tuple[float, float]:
    first, second = [*(float(number) for number in numbers[:2]), default, default][:2]
    return first, second


def pictures_of(lines: Iterable[bytes]) -> Iterator[str]:
    """All pictures that lines of a library name."""
    for line in lines:
        if found := picture_line(line):
            yield found[1].decode(errors="replace").replace("\\", "/")
