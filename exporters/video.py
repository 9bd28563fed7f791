"""`turntable`: the object turning once, its colours, normals and depth side by side."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from core.errors import require
from core.files import whole_file
from core.kinds import Exporter, System
from core.memory import PICTURE, require_size
from exporters.phases import Phases, keep_record
from systems.contact_sheet import enlarged, shown_depth, shown_normals, to_bytes

#: Pictures of small models are enlarged to at least this many pixels: players show less as a stamp.
SMALLEST_SIDE = 256


class Turntable(Exporter, name="turntable"):
    """A film, turntable.mp4."""

    writes = ("turntable.mp4",)

    @dataclass(frozen=True)
    class Config:
        """Settings of the turntable."""

        n_frames: int = 48
        """Pictures of one turn."""
        frames_per_second: int = 16
        """Speed of the turn."""

        def __post_init__(self) -> None:
            require_size("n_frames", self.n_frames, self.n_frames * PICTURE)
            require(
                1 <= self.frames_per_second <= 240, f"frames_per_second: from 1 to 240, got {self.frames_per_second}"
            )

    config: Config

    def export(self, system: System, run_folder: Path) -> list[Path]:
        """Render one turn and write it."""
        phases, n_frames = Phases("turntable"), self.config.n_frames
        with phases.phase("frames", n_frames) as bar:
            frames = _counted(turntable_frames(system, n_frames), bar.update)
            path = write_mp4(run_folder / "turntable.mp4", frames, self.config.frames_per_second)
        keep_record(run_folder, "turntable", {"file": path.name}, phases.seconds)
        return [path]


def turntable_frames(system: System, n_frames: int) -> Iterator[NDArray[np.uint8]]:
    """Frames of one turn: rows x columns x RGB, even numbers of both, as video codecs want."""
    render = system.render(system.validation_cameras(n_frames, system.guidance.latent_size), with_normals=True)
    maps = torch.stack([shown_normals(render), shown_depth(render)], dim=1)
    for latents, beside in zip(render.latents, maps, strict=True):
        colour = system.decode(latents[None])
        magnify = -(-SMALLEST_SIDE // min(colour.shape[1:3]))
        size = (magnify * colour.shape[1] // 2 * 2, magnify * colour.shape[2] // 2 * 2)
        pictures = [enlarged(colour, size), *(enlarged(picture[None], size) for picture in beside)]
        yield to_bytes(torch.cat(pictures, dim=2)[0])


def _counted(frames: Iterator[NDArray[np.uint8]], tell: Callable[[], object]) -> Iterator[NDArray[np.uint8]]:
    for frame in frames:
        yield frame
        tell()


def write_mp4(path: Path, frames: Iterator[NDArray[np.uint8]], frames_per_second: int) -> Path:
    """H.264 in the colour format that every player reads."""
    from imageio_ffmpeg import write_frames

    first = next(frames)
    with whole_file(path) as unfinished:
        writer = write_frames(
            unfinished,
            (first.shape[1], first.shape[0]),
            fps=frames_per_second,
            codec="libx264",
            pix_fmt_out="yuv420p",
            quality=8,
            macro_block_size=2,
            ffmpeg_log_level="error",
            output_params=["-movflags", "+faststart"],
        )
        writer.send(None)
        try:
            for frame in (first, *frames):
                writer.send(np.ascontiguousarray(frame))
        finally:
            writer.close()
    return path
