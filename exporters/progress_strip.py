"""`progress-strip`: one view of the object as it was at several moments of its training."""

import logging
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from core.errors import first_line
from core.kinds import Exporter, System
from core.memory import PICTURE, require_size
from exporters.phases import Phases, keep_record
from systems.contact_sheet import GAP, N_ROWS, first_tile, save_png, to_bytes

log = logging.getLogger(__name__)

LABEL_HEIGHT = 14
PREVIEW = re.compile(r"step-(\d+)\.png")


class ProgressStrip(Exporter, name="progress-strip"):
    """progress.png: the front view of the previews that the training left, and of what it ended with."""

    writes = ("progress.png",)

    @dataclass(frozen=True)
    class Config:
        """Settings of the progress strip."""

        n_moments: int = 8
        """Pictures at most, the end included; of more previews, evenly spaced ones are taken."""

        def __post_init__(self) -> None:
            require_size("n_moments", self.n_moments, self.n_moments * PICTURE)

    config: Config

    def export(self, system: System, run_folder: Path) -> list[Path]:
        """Put the views beside each other, each with its step."""
        phases = Phases("progress-strip")
        with phases.phase("strip"):
            earlier = [(step, _front(path)) for step, path in earlier_previews(run_folder, system.total_steps)]
            moments = [(step, picture) for step, picture in earlier if picture is not None]
            moments = _evenly(moments, self.config.n_moments - 1)
            render = system.render(system.validation_cameras(1, system.guidance.latent_size))
            moments.append((system.total_steps, to_bytes(system.decode(render.latents)[0])))
            path = save_png(run_folder / "progress.png", labelled_strip(moments))
        keep_record(run_folder, "progress-strip", {"file": path.name, "moments": len(moments)}, phases.seconds)
        return [path]


def earlier_previews(run_folder: Path, before_step: int) -> list[tuple[int, Path]]:
    """Steps and contact sheets of a run from before a step, in the order of the steps."""
    named = [(PREVIEW.fullmatch(path.name), path) for path in (run_folder / "previews").glob("step-*.png")]
    found = sorted((int(name[1]), path) for name, path in named if name and path.is_file())
    return [(step, path) for step, path in found if step < before_step]


def labelled_strip(moments: list[tuple[int, NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    """Pictures in a row, enlarged or reduced to the last one's height, the step beneath each."""
    height = moments[-1][1].shape[0]
    strip = Image.new("RGB", (len(moments) * (height + GAP) - GAP, height + LABEL_HEIGHT), "white")
    pen = ImageDraw.Draw(strip)
    for i, (step, picture) in enumerate(moments):
        left = i * (height + GAP)
        strip.paste(Image.fromarray(picture).resize((height, height)), (left, 0))
        pen.text((left + 2, height + 1), f"step {step}", fill="black")
    return np.asarray(strip)


def _front(sheet: Path) -> NDArray[np.uint8] | None:
    try:
        with Image.open(sheet) as picture:
            return first_tile(np.asarray(picture.convert("RGB")), N_ROWS)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # whatever lies there
        log.warning("%s is left out of the strip: %s", sheet, first_line(error))
        return None


def _evenly(moments: list[tuple[int, NDArray[np.uint8]]], n_most: int) -> list[tuple[int, NDArray[np.uint8]]]:
    if len(moments) <= n_most:
        return moments
    return [moments[round(i)] for i in np.linspace(0, len(moments) - 1, n_most)] if n_most else []
