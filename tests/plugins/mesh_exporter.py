"""An exporter that has nothing to make of a field."""

from dataclasses import dataclass
from pathlib import Path

from core.kinds import Exporter, System, TexturedSurface


class FaceCount(Exporter, name="face-count"):
    """faces.txt: how many faces the painted mesh has."""

    @dataclass(frozen=True)
    class Config:
        """No settings."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def accepts(self, system: System) -> str | None:
        """Meshes alone."""
        return None if isinstance(system.geometry, TexturedSurface) else "counts the faces of a mesh; use latent-paint"

    def export(self, system: System, run_folder: Path) -> list[Path]:
        """Count."""
        assert isinstance(system.geometry, TexturedSurface)
        path = run_folder / "faces.txt"
        path.write_text(f"{len(system.geometry.faces)}\n")
        return [path]
