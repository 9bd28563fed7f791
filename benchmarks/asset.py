"""Does a whole asset beat its first stage alone? Both judged; both meshes compared with the views they are made of.

    python -m benchmarks.asset [--only mug,chair] [--quick] [key=value]

`configs/text-to-asset.yaml` makes each object once; the same command goes on where it was stopped. Parts are looked for
where the toy world's own object has them.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from app.api import Run, train
from benchmarks.command import Report, benchmark_parser, resolve_threads, run_benchmark
from benchmarks.export_figures import against_views, measure_export
from benchmarks.floors import Floor
from benchmarks.mesh_pictures import MeshFile
from benchmarks.part_colours import part_colours
from benchmarks.refine import Look, floors, look
from benchmarks.toy_prompts import ToyPrompt, toy_prompts
from benchmarks.verdicts import judged_cameras, judged_pictures
from systems.base import LightningSystem
from systems.contact_sheet import save_png

N_OBJECTS = 3
#: So few steps must not shrink the first ball: there would be nothing to export.
QUICK = ["trainer.max_steps=10", "stages.0.system.geometry.blob_height=10"]


@dataclass(frozen=True)
class Made:
    """One object after a stage."""

    look: Look
    parts_right: int
    """Parts with a colour of their own that came out nearer to it than to the main colour."""
    psnr_db: float
    """Pictures of the exported mesh against decoded views, in dB."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and give the exit code."""
    quick = "one object, ten steps for each stage"
    description = "Make whole assets, and judge them beside their first stage."
    parser = benchmark_parser("asset", description, "text-to-asset", work="asset", quick=quick)
    parser.add_argument("--only", default="", metavar="NAMES", help="some objects, such as chair,mug")
    return run_benchmark(_run, parser.parse_intermixed_args(arguments))


def _run(options: argparse.Namespace) -> Report:
    resolve_threads()
    chosen = toy_prompts(options.only)[: 1 if options.quick else None if options.only else N_OBJECTS]
    pairs = [(prompt, _made(prompt, options)) for prompt in chosen]
    lines = [f"{prompt.text}: {first} -> {last}" for prompt, (first, last) in pairs]
    objects = [{"prompt": prompt.text, "first": asdict(first), "last": asdict(last)} for prompt, (first, last) in pairs]

    def draw(folder: Path) -> Path:
        files = [_folder(prompt, options) / f"{name}.png" for prompt, _ in pairs for name in ("first", "last")]
        save_png(folder / "asset.png", np.concatenate([np.asarray(Image.open(file)) for file in files]))
        return folder / "asset.png"

    whole = not (options.quick or options.only)
    return Report(
        "asset", whole, {"objects": objects}, "\n".join(lines), better_floors([pair for _, pair in pairs]), draw
    )


def _made(prompt: ToyPrompt, options: argparse.Namespace) -> tuple[Made, Made]:
    """The object after the first stage, and after the last."""
    folder = _folder(prompt, options)
    steps = QUICK if options.quick else []
    out, overrides = folder / "run", [*steps, *options.overrides]
    run = train(options.config, prompt.text, overrides=overrides, out=out, resume=True, device=options.device)
    first = Run.load(run.stages[0], device=options.device).system
    own = measure_export(first, folder).psnr_db
    last = run.system
    psnr_db, _ = against_views(last, judged_pictures(last), MeshFile(run.folder / "mesh.glb"))
    made = _seen(first, prompt, own, folder / "first.png"), _seen(last, prompt, psnr_db, folder / "last.png")
    print(f"{prompt.text}: {made[0]} -> {made[1]}", flush=True)
    return made


def _seen(system: LightningSystem, prompt: ToyPrompt, psnr_db: float, sheet: Path) -> Made:
    pictures = judged_pictures(system)
    parts = part_colours(prompt.subject, judged_cameras(pictures.shape[1]), pictures)
    return Made(look(system, prompt, sheet), parts.n_fixed_right, psnr_db)


def better_floors(pairs: Sequence[tuple[Made, Made]]) -> list[Floor]:
    """What the method promises: better than the first stage alone."""
    parts = [sum(pair[i].parts_right for pair in pairs) for i in range(2)]
    psnr = [sum(pair[i].psnr_db for pair in pairs) / len(pairs) for i in range(2)]
    return [
        *floors([(first.look, last.look) for first, last in pairs]),
        Floor("parts of the right colour do not fall", parts[1] - parts[0], 0, f"{parts[0]} -> {parts[1]}"),
        Floor("the file is nearer to its views", psnr[1] - psnr[0], 0, f"{psnr[0]:.1f} -> {psnr[1]:.1f} dB", True),
    ]


def _folder(prompt: ToyPrompt, options: argparse.Namespace) -> Path:
    return options.work / prompt.subject.kind


if __name__ == "__main__":
    sys.exit(main())
