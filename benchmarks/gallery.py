"""The gallery: 24 toy objects and 8 painted meshes, each with the command that makes it, as a page of the manual.

    python -m benchmarks.gallery                        # all that are missing: two hours on two CPU cores
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
from core.files import whole_file
from systems.contact_sheet import save_png, tiled

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
#: Views of each object, side by side.
N_VIEWS = 4
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
    "a green tree",
    "an orange fish",
    "a white snowman",
    "a red rocket",
    "a pink flower",
    "a blue umbrella",
    "a red boat",
    "a white bed",
    "a green sofa",
    "a blue train",
    "a yellow car",
    "a purple mushroom",
)
#: The meshes of sketches/, which are this project's own, and what they are painted as.
PAINTED = {
    "animal": "a brown animal",
    "car-without-front": "a red car",
    "chair": "a blue chair",
    "figure": "a yellow robot",
    "half-mug": "a green mug",
    "hand": "a white hand",
    "house-without-roof": "a red house",
    "tower": "a white rocket",
}


@dataclass(frozen=True)
class Piece:
    """One picture of the gallery."""

    prompt: str
    recipe: str
    settings: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """What makes it."""
        return " ".join(["python launch.py --config", self.recipe, f'--prompt "{self.prompt}"', *self.settings])

    @property
    def picture(self) -> str:
        """Its file's name, of what it is made of too."""
        mesh = "".join(f"-on-{Path(setting).stem}" for setting in self.settings)
        return f"{slug(self.prompt)}{mesh}.png"


def pieces() -> list[Piece]:
    """Everything that the gallery shows."""
    objects = [Piece(prompt, "configs/latent-nerf.yaml") for prompt in OBJECTS]
    meshes = {f"system.geometry.path=sketches/{mesh}.obj": prompt for mesh, prompt in PAINTED.items()}
    painted = [Piece(prompt, "configs/latent-paint.yaml", (setting,)) for setting, prompt in meshes.items()]
    return [*objects, *painted]


def make(piece: Piece, work: Path, docs: Path, overrides: Sequence[str] = ()) -> Path:
    """Train a piece, and draw it from four sides.

    Raises:
        UserError: it cannot be trained.
    """
    settings = [setting.replace("sketches/", f"{ROOT}/sketches/") for setting in piece.settings]
    run = train(
        ROOT / piece.recipe,
        piece.prompt,
        overrides=[*settings, "exporters=[]", *overrides],
        out=work,
        resume=True,
        on_event=Progress(),
    )
    return save_png(docs / "gallery" / piece.picture, _sides(run))


def write_page(docs: Path) -> Path:
    """The page of the pictures that are there; what is missing is said."""
    lines = ["# Gallery", "", "Made by `python -m benchmarks.gallery`: objects from prompts, and painted meshes.", ""]
    missing: list[str] = []
    for piece in pieces():
        if not (docs / "gallery" / piece.picture).is_file():
            missing.append(piece.prompt)
            continue
        lines += [f"## {piece.prompt}", "", f"![{piece.prompt}, from four sides](gallery/{piece.picture})", ""]
        lines += ["```bash", piece.command, "```", ""]
    if missing:
        lines += ["## Not made yet", "", ", ".join(missing) + ".", ""]
    path = docs / "gallery.md"
    with whole_file(path) as unfinished:
        unfinished.write_text("\n".join(lines), encoding="utf-8")
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
    cameras = run.cameras(N_VIEWS, size=2 * run.system.guidance.latent_size)
    return tiled([list(run.decode(run.render(cameras).latents))])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
