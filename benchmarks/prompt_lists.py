"""Public lists of prompts as jobs, and their results as the lists' own evaluation code reads them.

    python -m benchmarks.prompt_lists prompt_MATE_3D.json --config configs/latent-nerf-sd.yaml --out DIR
    python -m benchmarks.prompt_lists T3Bench/data/prompt_single.txt --layout t3bench --config ... --out DIR

A list is a text file of one prompt a line, or JSON that holds the prompts; none is bundled. The same command goes on.

    mate-3d (HyperScore): DIR/evaluation/latentnerf/A_red_mushroom/model.obj
    t3bench:              DIR/evaluation/outputs_mesh_t3/latentnerf_single/a_red_mushroom/save/it0-export/model.obj
    both:                 beside the mesh its material and texture, and views/000.png ... on a circle around it
"""

import argparse
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from app.api import Run
from app.jobs.command import JobsRequest, run_jobs
from app.jobs.folder import DONE
from app.process import Signals
from core.errors import UserError
from core.files import whole_file, write_whole
from systems.contact_sheet import save_png, to_bytes

#: Views on the circle.
N_VIEWS = 12
#: What the lists' code calls methods of this kind.
METHOD = "latentnerf"
#: A mesh as both evaluations read it; its name in the file's own references stays.
MESH, PARTS = "mesh.obj", ("mesh.mtl", "mesh.png")
#: The mesh's name there; it comes last, so that a folder which has it is whole.
MODEL = "model.obj"


def main(arguments: Sequence[str] | None = None) -> int:
    """Make all objects of a list and lay them out; gives the exit code of `launch.py --jobs`."""
    options = _parser().parse_intermixed_args(arguments)
    try:
        return _made(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _made(options: argparse.Namespace) -> int:
    prompts = read_prompts(options.list)
    jobs = options.out / "jobs.jsonl"
    rows = [json.dumps({"id": folder_name(prompt), "prompt": prompt}) for prompt in prompts]
    write_whole(jobs, "\n".join(rows) + "\n")
    overrides = (*options.overrides, "exporter.format=obj")
    with Signals() as signals:
        code = run_jobs(JobsRequest(jobs, options.out, options.config, overrides), signals)
    for prompt in prompts:
        done = options.out / folder_name(prompt)
        there = options.out / "evaluation" / place(options.layout, options.list.stem, prompt)
        if (done / DONE).is_file() and not (there / MODEL).is_file():
            lay_out(done, there)
    print(f"Laid out in {options.out / 'evaluation'}/")
    return code


def read_prompts(path: Path) -> list[str]:
    """The prompts of a list, each once, in order.

    Raises:
        UserError: the file is missing, or holds none.
    """
    try:
        text = path.read_text(encoding="utf-8")
        found = list(_texts(json.loads(text))) if path.suffix == ".json" else text.splitlines()
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: no readable list of prompts: {error}") from error
    prompts = list(dict.fromkeys(prompt.strip() for prompt in found if prompt.strip()))
    if not prompts:
        raise UserError(f"{path}: holds no prompts")
    return prompts


def folder_name(prompt: str) -> str:
    """A prompt as both lists name its folder, without what no folder may hold."""
    kept = "".join(letter for letter in prompt if letter not in '/\\:*?"<>|').strip(" .")
    return kept.replace(" ", "_")


def place(layout: str, name: str, prompt: str) -> Path:
    """Where a list's code looks for the mesh of a prompt.

    Args:
        name: of the list's file; T3Bench has one for each group, prompt_single.txt and so on.
    """
    if layout == "mate-3d":
        return Path(METHOD) / folder_name(prompt)
    group = name.removeprefix("prompt_")
    return Path("outputs_mesh_t3") / f"{METHOD}_{group}" / folder_name(prompt) / "save" / "it0-export"


def lay_out(run: Path, folder: Path) -> None:
    """Copy a run's mesh to a folder, and draw its views on a circle."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        if (run / part).is_file():
            shutil.copyfile(run / part, folder / part)
    views = Run.load(run)
    pictures = views.decode(views.render(views.cameras(N_VIEWS)).latents)
    for i, picture in enumerate(pictures):
        save_png(folder / "views" / f"{i:03d}.png", to_bytes(picture))
    with whole_file(folder / MODEL) as unfinished:
        shutil.copyfile(run / MESH, unfinished)


def _texts(tree: Any) -> Iterator[str]:
    """All prompts of a JSON file: its texts, or those under a key `prompt` where there is one."""
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, dict) and isinstance(tree.get("prompt"), str):
        yield tree["prompt"]
    elif isinstance(tree, dict | list):
        for item in tree.values() if isinstance(tree, dict) else tree:
            yield from _texts(item)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.prompt_lists", description="Make the objects of a public list of prompts"
    )
    parser.add_argument("list", type=Path, help="file with the prompts")
    parser.add_argument("--layout", choices=("mate-3d", "t3bench"), default="mate-3d")
    parser.add_argument("--config", type=Path, required=True, metavar="RECIPE")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings that win over the recipe's")
    return parser


if __name__ == "__main__":
    sys.exit(main())
