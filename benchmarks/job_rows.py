"""The rows of the benchmark of jobs: of all systems, some of them harmful."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT
from core.files import write_json

CONFIGS = ROOT / "configs"
PLUGIN = ROOT / "tests" / "plugins" / "troubled_loss.py"
#: Of rows that do harm: a loss that is not finite three times in a row after the first step, so they need four steps.
HARMS, HARM_STEPS = ("diverge", "kill"), 4
#: Systems, each with the mesh that it takes.
SHAPES = {"latent-nerf": None, "sketch-shape": "chair.obj", "latent-paint": "car-without-front.obj"}
#: A ball that is there from the first step on, so that there is a mesh to export after four.
SHOWN: dict[str, Any] = {system: {"geometry": {"blob_height": 10}} for system in ("latent-nerf", "sketch-shape")}
#: Small meshes of each system.
FIELD = {"type": "mesh", "n_faces": 300, "resolution": 32, "texture_size": 64, "n_photographs": 4, "n_silhouettes": 4}
EXPORTERS = {
    "latent-paint": {"type": "painted-mesh", "format": "glb", "texture_size": 64, "n_photographs": 4},
    "latent-nerf": FIELD,
    "sketch-shape": FIELD,
}


def mixed(work: Path, n_rows: int) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Rows of all systems, of which the first three come to harm, and how each must end."""
    broken = work / "broken.obj"
    broken.write_text("v 0 0 0\nf 1 2 3\n")
    paint = {"config": str(write_recipe(work, "latent-paint")), "shape": str(broken.resolve())}
    harms: list[dict[str, str]] = [paint, *({"system.losses.trouble.how": how} for how in HARMS)]
    rows: list[dict[str, Any]] = []
    for i in range(n_rows):
        system, shape = list(SHAPES.items())[i % len(SHAPES)]
        own = {"config": str(write_recipe(work, system))}
        if shape:
            own["shape"] = str(ROOT / "sketches" / shape)
        rows.append(plain_row(i, **(harms[i] if i < len(harms) else own)))
    ends = ["failed", *("poisoned" for _ in HARMS)]
    return rows, {row["id"]: ends[i] if i < len(ends) else "done" for i, row in enumerate(rows)}


def plain_row(i: int, **more: Any) -> dict[str, Any]:
    """One of Latent-NeRF, unless it says otherwise."""
    return {"id": f"row-{i}", "prompt": "a red mushroom", "seed": i, **more}


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """A jobs file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_recipe(work: Path, system: str = "latent-nerf") -> Path:
    """A system with a small mesh to export, and a loss that does no harm unless a row says so.

    Said in a file, and not on the command line, which would win over what rows say of the loss.
    """
    tree = {
        "extends": str(CONFIGS / f"{system}.yaml"),
        "plugins": [str(PLUGIN)],
        "system": {"losses": {"trouble": {"type": "troubled"}}, **SHOWN.get(system, {})},
        "trainer": {"preview_every": 0},
        "exporters": [EXPORTERS[system]],
    }
    path = work / f"troubled-{system}.yaml"
    write_json(path, tree)  # JSON is YAML
    return path
