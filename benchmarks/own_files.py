"""Your own meshes, each read, painted for two steps and written: which are refused, or come out wrong.

    python -m benchmarks.own_files FOLDER

Each file is painted by a process of its own, as a person would do it. What it writes is read by trimesh, and its area
and bounds are held against what trimesh reads of the original. trimesh cuts concave polygons outside of their outlines
and does not pose skins, so that a line which says "wrong" is there to be looked at.

Exit codes: 0; 1 where a file came out wrong, crashed or took too long; 2 for bad input; 130 when stopped.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.machine import ROOT
from core.errors import UserError
from geometry.mesh_file import FORMATS

Outcome = Literal["painted", "refused", "wrong"]
#: What differs by a smaller share of the mesh's area, or extent, is the same.
SAME_AREA, SAME_BOUNDS = 1e-4, 1e-5
#: What launch.py ends with where a file is refused; with anything else, something is wrong.
BAD_INPUT = 2
#: Two steps, four views for the colours, and nothing but the mesh.
OVERRIDES = (
    "trainer.max_steps=2",
    "trainer.preview_every=0",
    "trainer.checkpoint_every=0",
    "system.geometry.start=color",
    "system.renderer.outline=mixed",
    "exporters=[{type: painted-mesh, n_photographs: 4, texture_size: 256}]",
)


@dataclass(frozen=True)
class Finding:
    """What became of a file."""

    name: str
    outcome: Outcome
    said: tuple[str, ...]
    """The command's messages; for a refused file the reason, for a wrong one the difference."""

    def text(self) -> str:
        """The outcome and what was said, in lines."""
        return "\n".join([f"{self.outcome:8} {self.name}", *(f"         {line}" for line in self.said)])


def examined(path: Path, name: str, time_limit_s: float) -> Finding:
    """Paint a mesh in a process of its own, and look at what it writes."""
    with tempfile.TemporaryDirectory(prefix="own-files-") as work:
        config = ROOT / "configs" / "latent-paint.yaml"
        command = [sys.executable, str(ROOT / "launch.py"), "--config", str(config), "--prompt", "a red toy"]
        command += ["--out", work, f"system.geometry.path={path}", *OVERRIDES]
        try:
            done = subprocess.run(
                command, cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=time_limit_s, check=False
            )
        except subprocess.TimeoutExpired:
            return Finding(name, "wrong", (f"not done after {time_limit_s:g} s",))
        # What is painted is the run's own copy of the file.
        named = re.compile(rf"(?:{re.escape(str(path.parent))}|{re.escape(work)}\S*)/{re.escape(path.name)}")
        lines = tuple(named.sub(path.name, line.strip()) for line in done.stderr.splitlines() if line.strip())
        if done.returncode:
            faults = tuple(line for line in lines if line.startswith("error: "))
            is_refused = bool(faults) and done.returncode == BAD_INPUT
            return Finding(name, "refused" if is_refused else "wrong", faults if is_refused else lines[-3:])
        told = tuple(line for line in lines if path.name in line)
        written = next((file for file in Path(work).glob("*/mesh.*") if file.suffix[1:] in FORMATS), None)
        if written is None:
            return Finding(name, "wrong", (*told, "no mesh was written"))
        fault = difference(path, written)
        return Finding(name, "wrong" if fault else "painted", (*told, *([fault] if fault else [])))


def difference(before: Path, after: Path) -> str | None:
    """How two mesh files differ in area or bounds, by trimesh; None where they do not, or it cannot read the first."""
    old = _surface(before)
    if old is None:
        return None
    new = _surface(after)
    if new is None:
        return "trimesh could read it, and finds nothing in what was written"
    extent = float(np.ptp(old.bounds, axis=0).max())
    if abs(new.area - old.area) > SAME_AREA * old.area:
        return f"its area was {old.area:.6g} by trimesh, and is {new.area:.6g}"
    if np.abs(new.bounds - old.bounds).max() > SAME_BOUNDS * extent:
        return f"its bounds were {_rounded(old.bounds)} by trimesh, and are {_rounded(new.bounds)}"
    return None


def _surface(path: Path) -> Any:
    """What trimesh finds in a file; None where that is nothing, as in a glTF file without a scene."""
    import trimesh

    try:
        mesh: Any = trimesh.load_scene(path, process=False).to_geometry()
    except Exception:  # trimesh raises whatever its parsing ran into
        return None
    return None if mesh.bounds is None else mesh


def _rounded(bounds: Any) -> str:
    return " to ".join(f"({', '.join(f'{number:.6g}' for number in corner)})" for corner in bounds)


def mesh_files(folder: Path) -> Iterator[Path]:
    """All files in a folder, and below, whose names end as meshes do.

    Raises:
        UserError: there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give one that holds meshes ({', '.join(FORMATS)})")
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower().removeprefix(".") in FORMATS and path.is_file():
            yield path.absolute()


def main(arguments: Sequence[str]) -> int:
    """Examine every mesh of a folder, and print what became of each as it is known."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.own_files", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, help="where the meshes are; folders below count")
    parser.add_argument("--limit-s", type=float, default=300.0, help="seconds for each file (default: 300)")
    options = parser.parse_args(arguments)
    counts = dict.fromkeys(("painted", "refused", "wrong"), 0)
    try:
        for path in mesh_files(options.folder):
            finding = examined(path, str(path.relative_to(options.folder.absolute())), options.limit_s)
            counts[finding.outcome] += 1
            print(finding.text(), flush=True)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    return 1 if counts["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
