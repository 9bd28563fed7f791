"""The gallery's page says what made each picture, and what is missing."""

import shlex
from pathlib import Path

import numpy as np
from PIL import Image

from app.options import parse
from benchmarks.gallery import OBJECTS, PAINTED, ROOT, Piece, make, pieces, write_page
from guidance.prompts import unknown_words
from tests.app.small_command import small_overrides
from toybox.world import load_world


def test_it_has_24_objects_of_every_kind_that_the_model_knows_and_8_painted_meshes_of_ours() -> None:
    assert len(set(OBJECTS)) == 24
    assert len(PAINTED) == 8
    words = load_world().vocabulary
    assert not [prompt for prompt in OBJECTS if unknown_words(prompt, words)]
    assert all((ROOT / "sketches" / mesh).is_file() for mesh in PAINTED)
    assert all(any(prompt.endswith(f" {kind}") for prompt in OBJECTS) for kind in load_world().kinds)
    assert len({piece.picture for piece in pieces()}) == 32
    for piece in pieces():
        options = parse(shlex.split(piece.command.removeprefix("python launch.py ")))
        assert (options.prompt, options.config) == (piece.prompt, Path(piece.recipe))
        assert (ROOT / options.config).is_file()
        mesh = [f"system.geometry.path=sketches/{piece.mesh}"] if piece.mesh else []
        assert options.overrides == mesh


def test_a_piece_is_trained_drawn_and_shown_with_its_command(tmp_path: Path) -> None:
    piece = Piece("a red mushroom", "examples/my_field.yaml")
    small = [*small_overrides(tmp_path), "system.background.type=random-color"]  # as in the gallery's recipes
    picture = make(piece, tmp_path / "runs", tmp_path / "docs", small)
    assert np.asarray(Image.open(picture)).shape[1] > 3 * 16
    page = write_page(tmp_path / "docs").read_text()
    assert "gallery/a-red-mushroom.png" in page
    assert 'python launch.py --config configs/latent-nerf.yaml --prompt "a red mushroom"' in page
    assert "Not made yet" in page
