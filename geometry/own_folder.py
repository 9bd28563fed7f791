"""The files that a mesh file refers to: opened where they lie in its own folder or below, and never elsewhere."""

from pathlib import Path
from urllib.parse import unquote

from core.errors import UserError


class OwnFolder:
    """Gives readers the files that a mesh refers to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, name: str) -> bytes:
        """The content of a file.

        Args:
            name: as the mesh file has it: in glTF a URI, where %20 is a space (glTF 2.0, section 2.8), else a path.

        Raises:
            UserError: it lies elsewhere, is not there, or cannot be read.
        """
        plain = unquote(name) if self.path.suffix.lower() in (".gltf", ".glb") else name
        folder = self.path.parent.resolve()
        try:
            wanted = (folder / plain.strip()).resolve()  # follows links, so that none leads out of the folder
            if not wanted.is_relative_to(folder):
                raise UserError(f"{self.path}: refers to '{name}' outside of its folder, which is not opened")
            if wanted.is_file():
                return wanted.read_bytes()
        except (OSError, ValueError, RuntimeError) as error:  # no permission; no name of a file; links in a circle
            raise UserError(f"{self.path}: refers to '{name}', which cannot be read: {error}") from error
        raise UserError(f"{self.path}: refers to '{name}', which is not there")

    __getitem__ = get
