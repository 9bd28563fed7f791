"""How well does a texture of latents keep the texture that a mesh came with?

    python -m benchmarks.texture_encoding [--config configs/latent-paint.yaml] [--quick]

Coloured toybox meshes are encoded before the first step of a painting, rendered and decoded. Beside it stands what the
autoencoder alone makes of the same pictures: encoded and decoded, without any texture.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from tqdm import tqdm

from app.cli import parse
from app.job import build_system, find_job
from app.parts import load_house
from benchmarks.canonical import canonical_silhouettes
from benchmarks.machine import ROOT, describe_machine
from benchmarks.verdicts import judged_cameras, judged_pictures
from core.errors import UserError
from core.files import whole_file
from exporters.coloured_mesh import ColouredMesh
from exporters.mesh_files import write_mesh
from systems.latent_paint import LatentPaint
from toybox.captions import Subject
from toybox.scenes import build

WORK = ROOT / "runs" / "benchmarks" / "texture-encoding"
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
        """What the texture loses beside the autoencoder."""
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
    flat = ColouredMesh(
        np.asarray(mesh.triangles, np.float32).reshape(-1, 3),
        None,
        np.arange(3 * len(part)).reshape(-1, 3),
        uv=uv.reshape(-1, 2).astype(np.float32),
        texture=np.rint(cells * 255).astype(np.uint8),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_mesh(path, flat, {})[0]


@torch.no_grad()
def measure(system: LatentPaint, kind: str, name: str) -> Encoding:
    """Compare a painting that has not begun with the texture that it began from."""
    guidance = system.guidance
    cameras = judged_cameras(guidance.picture_size)
    true = system.own_pictures(cameras.to(system.device))
    mask = canonical_silhouettes(kind, cameras)
    again = guidance.decode(guidance.encode(true)).cpu()
    return Encoding(name, psnr(judged_pictures(system), true.cpu(), mask), psnr(again, true.cpu(), mask))


def psnr(
    made: Float[Tensor, "views rows columns 3"],
    true: Float[Tensor, "views rows columns 3"],
    mask: Bool[Tensor, "views rows columns"],
) -> float:
    """Peak signal-to-noise ratio in dB over the masked pixels of pictures in [0, 1]."""
    return float(-10 * (made[mask] - true[mask]).square().mean().log10())


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write the JSON file; exit code 1 where more than 4 dB are lost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.texture_encoding")
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "latent-paint.yaml", metavar="RECIPE")
    parser.add_argument("--quick", action="store_true", help="one mesh instead of three, nothing written")
    parser.add_argument("--work", type=Path, default=WORK, metavar="DIR", help="where meshes are kept")
    options = parser.parse_args(arguments)
    load_house()
    found = []
    try:
        for subject in tqdm(SUBJECTS[: 1 if options.quick else None], unit="mesh", disable=None):
            path = coloured_mesh(subject, options.work / f"{subject.main}-{subject.kind}.glb").resolve()
            settings = [f"system.geometry.path={json.dumps(str(path))}", "system.geometry.start=own-texture"]
            job = find_job(parse(["--config", str(options.config), "--prompt", subject.caption(), *settings]))
            system = build_system(job.recipe)
            assert isinstance(system, LatentPaint)
            system.prepare()
            found.append(measure(system, subject.kind, subject.caption()))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for one in found:
        print(f"{one.name:20} texture {one.texture_db:.1f} dB, autoencoder {one.autoencoder_db:.1f} dB")
    loss = fmean(one.loss_db for one in found)
    print(f"{'met' if loss <= MOST_LOSS_DB else 'NOT MET'}: {loss:.1f} dB lost, at most {MOST_LOSS_DB} wanted")
    if not options.quick:
        path = ROOT / "benchmarks" / "results" / "texture-encoding.json"
        with whole_file(path) as unfinished:
            content = {"machine": describe_machine(), "loss_db": loss, "meshes": [asdict(one) for one in found]}
            unfinished.write_text(json.dumps(content, indent=1) + "\n")
        print(path)
    return int(loss > MOST_LOSS_DB)


if __name__ == "__main__":
    sys.exit(main())
