"""Figures of one exported mesh: its colours, outline and meaning against the run's own decoded views."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from benchmarks.floors import Floor
from benchmarks.mesh_pictures import MeshFile
from benchmarks.verdicts import judged_cameras, judged_pictures
from core.files import write_json
from exporters.mesh import MeshExporter
from exporters.phases import read_record
from systems.base import LightningSystem
from systems.contact_sheet import save_png, tiled
from toybox.judge import load_judge
from toybox.judge.network import Verdict
from toybox.world import load_world

FILE = "exported.json"
OPAQUE = 0.5
#: Rays across a pixel for the pictures that the judge sees: its training pictures have no jagged edges.
OVERSAMPLING = 3


@dataclass(frozen=True)
class ExportFigures:
    """What was measured of one exported mesh."""

    psnr_db: float
    """Over the pixels that mesh and decoded views both call object, eight views together."""
    silhouette_iou: float
    """At the size of the decoded views."""
    says: str
    """Colour and kind that the judge names on most of the mesh's pictures."""
    said: str
    """Colour and kind that the judge names on most of the decoded views."""
    seconds: float
    """The export of the mesh, all phases."""
    phases: dict[str, float]
    faces: int
    watertight: bool
    seam_ratio: float

    @property
    def agrees(self) -> bool:
        """Whether the judge takes the mesh for what it takes the run's pictures for."""
        return self.says == self.said


def measure_export(system: LightningSystem, folder: Path) -> ExportFigures:
    """Export a trained system's mesh, look at the file, and keep figures and pictures in the folder."""
    start = time.monotonic()
    (path,) = MeshExporter(MeshExporter.Config()).export(system, folder)
    seconds = time.monotonic() - start
    record = read_record(folder)["mesh"]
    decoded, file = judged_pictures(system), MeshFile(path)
    seen, (psnr, silhouette_iou) = on_grey(file, decoded.shape[1]), against_views(system, decoded, file)
    figures = ExportFigures(
        psnr_db=psnr,
        silhouette_iou=silhouette_iou,
        says=verdict_in_words(load_judge().verdicts(seen.movedim(-1, 1))),
        said=verdict_in_words(load_judge().verdicts(decoded.movedim(-1, 1))),
        seconds=seconds,
        phases=record["seconds"],
        faces=record["figures"]["faces"],
        watertight=record["figures"]["watertight"],
        seam_ratio=record["figures"]["seam_ratio"],
    )
    save_png(folder / "exported.png", tiled([list(decoded), list(seen)]))
    write_json(folder / FILE, asdict(figures))
    return figures


def against_views(
    system: LightningSystem, decoded: Float[Tensor, "views rows columns 3"], file: MeshFile
) -> tuple[float, float]:
    """PSNR in dB, and IoU of silhouettes, of a mesh's pictures against `judged_pictures` of a system."""
    size = decoded.shape[1]
    opacity = system.render(judged_cameras(system.guidance.latent_size)).opacity.cpu()
    opaque = F.interpolate(opacity[:, None], (size, size), mode="bilinear")[:, 0].numpy() > OPAQUE
    pictures = file.pictures(judged_cameras(size))
    both, either = opaque & pictures.mask, opaque | pictures.mask
    return psnr_db(decoded.numpy(), pictures.colours, both), float(both.sum() / max(1, either.sum()))


def read_export(folder: Path) -> ExportFigures | None:
    """What an earlier benchmark measured, or None."""
    path = folder / FILE
    return ExportFigures(**json.loads(path.read_text())) if path.is_file() else None


def psnr_db(one: np.ndarray, other: np.ndarray, where: np.ndarray) -> float:
    """Peak signal to noise ratio of pictures in [0, 1] over some of their pixels; -inf where there are none."""
    if not where.any():
        return float("-inf")
    return float(-10 * np.log10(max(np.square(one - other)[where].mean(), 1e-10)))


def on_grey(file: MeshFile, size: int) -> Float[Tensor, "views rows columns 3"]:
    """The judged views of a mesh file before the world's grey, smooth at the edges."""
    pictures = file.pictures(judged_cameras(size * OVERSAMPLING))
    grey = np.array(load_world().backgrounds["grey"])
    whole = torch.from_numpy(np.where(pictures.mask[..., None], pictures.colours, grey)).float()
    return F.avg_pool2d(whole.movedim(-1, 1), OVERSAMPLING).movedim(1, -1)


def verdict_in_words(verdicts: Sequence[Verdict]) -> str:
    """The colour and the kind that are named most often; of equally frequent ones the first."""
    colour = Counter(verdict.main for verdict in verdicts).most_common(1)[0][0]
    kind = Counter(verdict.kind for verdict in verdicts).most_common(1)[0][0]
    return f"{colour} {kind}"


def export_floors(found: Sequence[ExportFigures]) -> list[Floor]:
    """What eight meshes together must reach, and each within 45 s on two cores."""
    psnr = fmean(figures.psnr_db for figures in found)
    outline = fmean(figures.silhouette_iou for figures in found)
    agreed, slowest = sum(figures.agrees for figures in found), max(figures.seconds for figures in found)
    return [
        Floor("mean PSNR against decoded views", psnr, 22.0, f"{psnr:.1f} dB, at least 22 wanted"),
        Floor("mean silhouette IoU", outline, 0.9, f"{outline:.3f}, at least 0.9 wanted"),
        Floor(
            "the judge says the same of mesh and views",
            agreed / len(found),
            7 / 8,
            f"{agreed} of {len(found)}, at least 7 of 8 wanted",
        ),
        Floor("slowest export", -slowest, -45.0, f"{slowest:.0f} s, at most 45 wanted (two idle cores)"),
    ]
