"""How well does a texture of latents keep the texture that a mesh came with?

    python -m benchmarks.texture_encoding [--config configs/latent-paint.yaml] [--quick]

Coloured toybox meshes are encoded before the first step of a painting, rendered and decoded. Beside it stands what the
autoencoder alone makes of the same pictures: encoded and decoded, without any texture.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from tqdm import tqdm

from app.api import untrained_system
from benchmarks.canonical import canonical_silhouettes
from benchmarks.command import Report, benchmark_parser, resolve_threads, run_benchmark
from benchmarks.export_figures import psnr_db
from benchmarks.floors import Floor
from benchmarks.verdicts import judged_cameras, judged_pictures
from core.kinds import FirstLook
from exporters.mesh_files import write_mesh
from geometry.mesh import Mesh
from systems.first_look import first_look_pictures
from systems.latent_paint import LatentPaint
from toybox.captions import Subject
from toybox.scenes import build

DESCRIPTION = "Compare textures of latents with the textures that they were encoded from."
SUBJECTS = (Subject("car", "red"), Subject("house", "blue"), Subject("duck", "yellow"))
MOST_LOSS_DB = 4.0
#: Texels along each side of a part's cell in the palette.
CELL = 16


@dataclass(frozen=True)
class Encoding:
    """Peak signal-to-noise ratios on the object's pixels of eight views, in dB."""

    name: str
    texture_db: float
    autoencoder_db: float

    @property
    def loss_db(self) -> float:
        """What the texture loses beyond what the autoencoder alone loses."""
        return self.autoencoder_db - self.texture_db


def coloured_mesh(subject: Subject, path: Path) -> Path:
    """The canonical object with its colours as a palette texture: each part has a cell of its own."""
    scene = build(subject.kind)
    mesh, part = scene.mesh, scene.face_part.astype(int)
    n = int(np.ceil(np.sqrt(len(scene.parts))))
    colours = scene.part_colours(subject.main, subject.second)
    palette = np.zeros((n * n, 3))
    palette[: len(colours)] = colours
    cells = palette.reshape(n, n, 3).repeat(CELL, axis=0).repeat(CELL, axis=1)
    corner = np.array([[0.4, 0.4], [0.6, 0.4], [0.5, 0.6]])  # a small triangle in the middle of the cell
    origin = np.stack([part % n, n - 1 - part // n], axis=-1)[:, None]
    uv = (origin + corner) / n
    flat = Mesh(
        np.asarray(mesh.triangles, np.float32).reshape(-1, 3),
        np.arange(3 * len(part)).reshape(-1, 3),
        uv=uv.reshape(-1, 2).astype(np.float32),
        texture=np.rint(cells * 255).astype(np.uint8),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_mesh(path, flat, {})[0]


@torch.no_grad()
def measure(system: LatentPaint, look: FirstLook, kind: str, name: str) -> Encoding:
    """Compare a painting before its first step with the texture that it began from, its first look."""
    guidance, surface = system.guidance, system.geometry
    cameras = judged_cameras(guidance.picture_size)
    shown = first_look_pictures(surface, look, system.config.renderer, cameras.to(system.device))
    mask, true = canonical_silhouettes(kind, cameras).numpy(), shown.cpu().numpy()
    again = guidance.decode(guidance.encode(shown)).cpu().numpy()
    return Encoding(name, psnr_db(judged_pictures(system).numpy(), true, mask), psnr_db(again, true, mask))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and give the exit code."""
    quick = "one mesh instead of three"
    parser = benchmark_parser("texture_encoding", DESCRIPTION, "latent-paint", work="texture-encoding", quick=quick)
    return run_benchmark(_run, parser.parse_intermixed_args(arguments))


def _run(options: argparse.Namespace) -> Report:
    resolve_threads()
    chosen = SUBJECTS[: 1 if options.quick else None]
    encodings = [_encoding(subject, options) for subject in tqdm(chosen, unit="mesh", disable=None)]
    loss = fmean(one.loss_db for one in encodings)
    return Report(
        "texture-encoding",
        whole=not options.quick,
        figures={"meshes": [asdict(one) for one in encodings]},
        text="\n".join(
            f"{one.name:20} texture {one.texture_db:.1f} dB, autoencoder {one.autoencoder_db:.1f} dB"
            for one in encodings
        ),
        floors=[Floor("kept texture", -loss, -MOST_LOSS_DB, f"{loss:.1f} dB lost, at most {MOST_LOSS_DB} wanted")],
    )


def _encoding(subject: Subject, options: argparse.Namespace) -> Encoding:
    """Build the painting of one coloured mesh, and measure it before its first step."""
    path = coloured_mesh(subject, options.work / f"{subject.main}-{subject.kind}.glb").resolve()
    settings = [f"system.geometry.path={path}", "system.geometry.start=own-texture"]
    overrides = [*settings, *options.overrides]
    system = untrained_system(options.config, subject.caption(), overrides=overrides, device=options.device)
    assert isinstance(system, LatentPaint)
    look = system.config.geometry.build(system.guidance.latent_channels).first_look()
    assert look is not None, "a mesh that nobody has painted begins with its own texture"
    return measure(system, look, subject.kind, subject.caption())


if __name__ == "__main__":
    sys.exit(main())
