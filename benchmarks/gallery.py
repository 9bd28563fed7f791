"""The gallery: 24 toy objects and 8 painted meshes, each with the command that makes it, as a page of the manual.

    python -m benchmarks.gallery                        # all that are missing: an hour on one CPU core
    python -m benchmarks.gallery --only "a red mushroom"
    python -m benchmarks.gallery --page                 # the page alone, from the pictures that are there

Pictures go to docs/gallery/, the page to docs/gallery.md; a run that was interrupted goes on.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.api import Run, train
from app.progress import Progress
from app.run_folder import slug
from core.files import write_whole
from systems.contact_sheet import save_png, tiled

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
#: Views of each object, side by side, and their size over that of the pictures that guidance sees.
N_VIEWS, MAGNIFIED = 4, 1.5
#: Every kind of the toy world once, and two more.
OBJECTS = (
    "a red mushroom",
    "a white chair",
    "a blue airplane",
    "an orange mug",
    "a purple car",
    "a yellow duck",
    "a blue lamp",
    "a green cactus",
    "a pink donut",
    "a brown table",
    "a red house",
    "a yellow robot",
    "a white rocket",
    "a white snowman",
    "a red flower",
    "a green tree",
    "a blue umbrella",
    "an orange fish",
    "a green train",
    "a red boat",
    "a blue sofa",
    "a purple bed",
    "a red chair",
    "a yellow house",
)
#: Meshes of sketches/, which are this project's own, and what they are painted as.
PAINTED = {
    "car-without-front.obj": "a red car",
    "chair.obj": "a blue chair",
    "figure.obj": "a pink robot",
    "half-mug.obj": "a green mug",
    "house-without-roof.obj": "a yellow house",
    "tower.obj": "a red rocket",
    "robot.glb": "a red robot",
    "animal.obj": "a brown animal",
}
INTRODUCTION = """\
# Gallery

Made by `python -m benchmarks.gallery` with the bundled model, on CPU cores. Every object is the first one that its
command made, with the recipe's own seed: each of the 22 kinds that the model knows, and two more. The model has no word
for animals, so that painting follows the colour only.
"""


@dataclass(frozen=True)
class Piece:
    """One picture of the gallery."""

    prompt: str
    recipe: str
    mesh: str = ""
    """What is painted, in sketches/."""

    @property
    def command(self) -> str:
        """What makes it."""
        said = [f"system.geometry.path=sketches/{self.mesh}"] if self.mesh else []
        words = ["python launch.py --config", self.recipe, f'--prompt "{self.prompt}"', *said]
        return " ".join(words)

    @property
    def picture(self) -> str:
        """Its file's name, of what it is made of too."""
        return f"{slug(self.prompt)}{f'-on-{Path(self.mesh).stem}' if self.mesh else ''}.png"


def pieces() -> list[Piece]:
    """Everything that the gallery shows."""
    objects = [Piece(prompt, "configs/latent-nerf.yaml") for prompt in OBJECTS]
    painted = [Piece(prompt, "configs/latent-paint.yaml", mesh=mesh) for mesh, prompt in PAINTED.items()]
    return [*objects, *painted]


def make(piece: Piece, work: Path, docs: Path, overrides: Sequence[str] = ()) -> Path:
    """Train a piece, and draw it from four sides.

    Raises:
        UserError: it cannot be trained.
    """
    mesh = [f"system.geometry.path={ROOT}/sketches/{piece.mesh}"] if piece.mesh else []
    run = train(
        ROOT / piece.recipe,
        piece.prompt,
        overrides=[*mesh, "exporters=[]", *overrides],
        out=work,
        resume=True,
        on_event=Progress(),
    )
    return save_png(docs / "gallery" / piece.picture, _sides(run))


def write_page(docs: Path) -> Path:
    """The page of the pictures that are there; what is missing is said."""
    lines, missing = [INTRODUCTION], list[str]()
    parts = {"Objects from a prompt": [], "Painted meshes": []}
    for piece in pieces():
        if (docs / "gallery" / piece.picture).is_file():
            parts["Painted meshes" if piece.mesh else "Objects from a prompt"].append(piece)
        else:
            missing.append(piece.prompt)
    for title, made in parts.items():
        lines += [f"## {title}", ""] if made else []
        for piece in made:
            lines += [f"### {piece.prompt}", "", f"![{piece.prompt}, from four sides](gallery/{piece.picture})", ""]
            lines += ["```bash", piece.command, "```", ""]
    if missing:
        lines += ["## Not made yet", "", ", ".join(missing) + ".", ""]
    path = docs / "gallery.md"
    write_whole(path, "\n".join(lines))
    return path


def main(arguments: Sequence[str]) -> int:
    """Make what is missing, and the page."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gallery", description="Make the pictures and the page of the gallery."
    )
    parser.add_argument("--only", metavar="PROMPT", help="of one piece")
    parser.add_argument("--page", action="store_true", help="train nothing, write the page")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "gallery", help="where the runs go")
    options = parser.parse_args(arguments)
    wanted = [piece for piece in pieces() if options.only in (None, piece.prompt)]
    if not wanted:
        parser.error(f"--only: no piece has the prompt {options.only!r}")
    for piece in [] if options.page else wanted:
        if options.only or not (DOCS / "gallery" / piece.picture).is_file():
            print(piece.command, file=sys.stderr)
            make(piece, options.work, DOCS)
            write_page(DOCS)
    print(write_page(DOCS))
    return 0


def _sides(run: Run) -> NDArray[np.uint8]:
    cameras = run.cameras(N_VIEWS, size=round(MAGNIFIED * run.system.guidance.latent_size))
    return tiled([list(run.decode(run.render(cameras).latents))])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
