"""`contact-sheet`: one picture of a trained object from several sides."""

from dataclasses import dataclass
from pathlib import Path

from core.kinds import Exporter, System
from core.memory import PICTURE, require_size
from exporters.phases import Phases, keep_record
from systems.contact_sheet import contact_sheet, save_png


class ContactSheet(Exporter, name="contact-sheet"):
    """contact_sheet.png: decoded colour, opacity, depth and normals of views around the object."""

    writes = ("contact_sheet.png",)

    @dataclass(frozen=True)
    class Config:
        """Settings of the contact sheet."""

        n_views: int = 4
        """Views, from the front on around the object."""

        def __post_init__(self) -> None:
            require_size("n_views", self.n_views, self.n_views * PICTURE)

    config: Config

    def export(self, system: System, run_folder: Path) -> list[Path]:
        """Draw the sheet and note how long that took."""
        phases = Phases("contact-sheet")
        with phases.phase("views"):
            path = save_png(run_folder / "contact_sheet.png", contact_sheet(system, self.config.n_views))
        keep_record(run_folder, "contact-sheet", {"file": path.name}, phases.seconds)
        return [path]
