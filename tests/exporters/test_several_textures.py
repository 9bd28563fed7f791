"""A car of two materials, painted: both, or one while the other stays and is seen as it is."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from core.part import Choice
from core.types import Cameras
from exporters.painted_mesh import PaintedMesh
from geometry.mesh import Mesh
from geometry.mesh_file import read_mesh
from geometry.own_texture import own_pictures
from geometry.pictures import open_picture
from geometry.texels import sampled
from geometry.textured_mesh import TexturedMesh
from systems.latent_paint import LatentPaint
from tests.artefacts import keep
from tests.systems.small_paint import fitting_paint

BLUE = (30, 60, 200)
LIBRARY = "newmtl Body\nKd 0.5 0.5 0.5\nmap_Kd body.png\nnewmtl Wheels\nKd 1 1 1\nmap_Kd wheels.png\n"
#: Two cubes' sides each, laid out over the whole texture.
SIDES = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))


def write_car(folder: Path, tiles: bool = False) -> Path:
    """Two cubes of quads; each side takes a sixth of the texture."""
    lines = ["# my car", "mtllib car.mtl"]
    for number, (name, x) in enumerate((("Body", 0.0), ("Wheels", 3.0))):
        lines += [f"o {name}", *(f"v {x + (i & 1)} {i >> 1 & 1} {i >> 2 & 1}" for i in range(8))]
        shift = number if tiles else 0
        for i in range(6):
            u, v = i % 3 / 3 + shift, i // 3 / 2
            lines += [f"vt {u + a:.4f} {v + b:.4f}" for a, b in ((0.02, 0.02), (0.3, 0.02), (0.3, 0.46), (0.02, 0.46))]
        lines.append("usemtl Body" if tiles else f"usemtl {name}")
        for i, side in enumerate(SIDES):
            corners = [f"{8 * number + c + 1}/{24 * number + 4 * i + j + 1}" for j, c in enumerate(side)]
            lines.append("f " + " ".join(corners))
    (folder / "car.obj").write_text("\n".join(lines) + "\n")
    (folder / "car.mtl").write_text(LIBRARY)
    Image.new("RGB", (8, 8), (90, 90, 90)).save(folder / "body.png")
    Image.new("RGB", (8, 8), BLUE).save(folder / "wheels.png")
    return folder / "car.obj"


def painting(path: Path, **geometry: Any) -> LatentPaint:
    system = fitting_paint(path, 3, geometry={"texture_size": 64, "learning_rate": 0.05, **geometry})
    system.set_up()
    return system


def exported(system: LatentPaint, run: Path, **settings: Any) -> dict[str, Any]:
    run.mkdir()
    Choice.of(PaintedMesh, texture_size=64, n_photographs=4, **settings).build().export(system, run)
    return json.loads((run / "export.json").read_text())["painted-mesh"]["figures"]


def user_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith(("mtllib", "usemtl"))]


def test_each_material_is_painted_into_a_texture_of_its_own(tmp_path: Path):
    path, run = write_car(tmp_path), tmp_path / "run"
    figures = exported(painting(path), run)
    assert set(figures["textures"]) == {"Body", "Wheels"}
    assert figures["own_uv"]
    before, after = path.read_text(), (run / "mesh.obj").read_text()
    assert after == before.replace("mtllib car.mtl", "mtllib mesh.mtl"), "not another letter has changed"
    library = (run / "mesh.mtl").read_text()
    assert "newmtl Body\nKd 1 1 1\nmap_Kd mesh-Body.png" in library
    assert "newmtl Wheels\nKd 1 1 1\nmap_Kd mesh-Wheels.png" in library
    with Image.open(run / "mesh-Body.png") as picture:
        assert picture.size == (figures["textures"]["Body"],) * 2


def test_names_of_any_encoding_stay_and_share_no_file(tmp_path: Path):
    """Latin-1 as exporters of Windows wrote it; both materials are the same in plain letters."""
    path, run = write_car(tmp_path), tmp_path / "run"
    for file in (path, path.with_suffix(".mtl")):
        text = file.read_text().replace("Body", "Träger").replace("Wheels", "TRöger").replace("body.png", "Häuser.png")
        file.write_bytes(text.encode("latin-1"))
    (tmp_path / "body.png").rename(tmp_path / "Häuser.png")
    system = painting(path, start="own-texture")
    figures = exported(system, run)
    assert set(figures["textures"]) == {"Träger", "TRöger"}
    assert (run / "mesh.obj").read_bytes() == path.read_bytes().replace(b"mtllib car.mtl", b"mtllib mesh.mtl")
    library = (run / "mesh.mtl").read_bytes()
    assert b"newmtl Tr\xe4ger\nKd 1 1 1\nmap_Kd mesh-Tr_ger.png" in library
    assert b"newmtl TR\xf6ger\nKd 1 1 1\nmap_Kd mesh-TR_ger-2.png" in library
    assert {file.name for file in run.glob("*.png")} == {"mesh-Tr_ger.png", "mesh-TR_ger-2.png"}


def test_what_is_not_painted_stays_and_is_seen_as_it_is(tmp_path: Path):
    path, run = write_car(tmp_path), tmp_path / "run"
    system = painting(path, materials=("Body",))
    surface = system.geometry
    assert isinstance(surface, TexturedMesh)

    def shown() -> tuple[torch.Tensor, torch.Tensor]:
        """Colours at the middles of the faces, of the body and of the wheels."""
        with torch.no_grad():
            colours = system.decode(surface(surface.corner_uv.mean(dim=1), torch.full((24,), 1e-3))[None, None])[0, 0]
        return colours[:12], colours[12:]

    body, wheels = shown()
    wanted = torch.tensor(BLUE) / 255
    torch.testing.assert_close(wheels, wanted.expand(12, 3), atol=0.03, rtol=0)
    torch.testing.assert_close(body, torch.full((12, 3), 0.5), atol=0.03, rtol=0)
    with torch.no_grad():
        surface.texture.add_(1.0)
    later_body, later_wheels = shown()
    assert torch.equal(later_wheels, wheels), "no training reaches it"
    assert not torch.equal(later_body, body)
    figures = exported(system, run)
    assert "textures" not in figures
    assert (run / "mesh.obj").read_text() == path.read_text().replace("car.mtl", "mesh.mtl")
    library = (run / "mesh.mtl").read_text()
    assert "newmtl Wheels\nKd 1 1 1\nmap_Kd textures/wheels.png" in library
    assert (run / "textures" / "wheels.png").read_bytes() == (tmp_path / "wheels.png").read_bytes()
    assert "map_Kd mesh.png" in library


def test_what_is_not_painted_hides_what_is_behind_it(tmp_path: Path):
    system = painting(write_car(tmp_path), materials=("Body",))
    cameras: Cameras = system.surrounding_cameras(6, 16)
    whole = system.render(cameras)
    alone = painting(write_car(tmp_path), materials=()).render(cameras)
    assert torch.equal(whole.opacity, alone.opacity), "all of the mesh is there"
    blue = (system.decode(whole.latents) - torch.tensor(BLUE) / 255).abs().amax(dim=-1) < 0.1
    assert int(blue.sum()) > 20, "and the wheels are seen in their own colour"


def test_light_falls_on_what_is_painted_alone(tmp_path: Path):
    system = painting(write_car(tmp_path), materials=("Body",), start="lit")
    surface = system.geometry
    assert isinstance(surface, TexturedMesh)
    with torch.no_grad():
        colours = system.decode(surface(surface.corner_uv.mean(dim=1), torch.full((24,), 1e-3))[None, None])[0, 0]
    torch.testing.assert_close(colours[12:], (torch.tensor(BLUE) / 255).expand(12, 3), atol=0.04, rtol=0)
    assert float(colours[:12].std(dim=0).max()) > 0.05


def test_all_textures_may_be_where_it_starts(tmp_path: Path):
    system = painting(write_car(tmp_path), start="own-texture")
    surface = system.geometry
    assert isinstance(surface, TexturedMesh)
    with torch.no_grad():
        colours = system.decode(surface(surface.corner_uv.mean(dim=1), torch.full((24,), 1e-3))[None, None])[0, 0]
    wanted = np.repeat([[90, 90, 90], BLUE], 12, axis=0) / 255
    torch.testing.assert_close(colours, torch.from_numpy(wanted).float(), atol=0.03, rtol=0)


def test_tiles_become_textures_of_materials_of_their_own(tmp_path: Path):
    path, run = write_car(tmp_path, tiles=True), tmp_path / "run"
    figures = exported(painting(path), run)
    assert set(figures["textures"]) == {"Body.1001", "Body.1002"}
    after = (run / "mesh.obj").read_text()
    assert user_lines(after) == user_lines(path.read_text())
    mesh = read_mesh(run / "mesh.obj")
    assert mesh.file.material_of_faces()[0] == ("Body.1001", "Body.1002")
    assert "newmtl Body.1002\nKd 1 1 1\nmap_Kd mesh-Body.1002.png" in (run / "mesh.mtl").read_text()


def shown(mesh: Mesh) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Of each material its corners with their texture coordinates, and what its picture shows at its faces' middles."""
    assert mesh.corner_uv is not None
    materials, number = mesh.file.material_of_faces()
    pictures = own_pictures(mesh.file)
    found = {}
    for index, material in enumerate(materials):
        uv = mesh.corner_uv[number == index]
        picture = np.asarray(open_picture("a picture", pictures[material].content).convert("RGB"))
        corners = np.concatenate([mesh.corners[number == index], uv], axis=-1)
        found[mesh.file.material_name(material)] = corners, sampled(picture, uv.mean(axis=1))
    return found


def test_another_format_keeps_a_texture_for_each_material(tmp_path: Path):
    """From OBJ to GLB, and from there back to OBJ."""
    given, first, second = shown(read_mesh(write_car(tmp_path))), tmp_path / "first", tmp_path / "second"
    figures = exported(painting(tmp_path / "car.obj"), first, format="glb")
    keep(first / "mesh.glb", "several.glb")
    assert set(figures["textures"]) == {"Body", "Wheels"}
    assert figures["own_uv"]
    exported(painting(first / "mesh.glb"), second, format="obj")
    assert {file.name for file in second.iterdir()} >= {"mesh.obj", "mesh.mtl", "mesh-Body.png", "mesh-Wheels.png"}
    for path in (first / "mesh.glb", second / "mesh.obj"):
        found = shown(read_mesh(path))
        assert list(found) == list(given)
        for name, (corners, _) in found.items():
            np.testing.assert_allclose(corners, given[name][0], atol=2**-24)


@pytest.mark.parametrize("tiles", [False, True])
def test_another_format_shows_what_is_not_painted_as_it_was(tmp_path: Path, tiles: bool):
    """With tiles, the two textures are of one material, and all of it is painted."""
    run = tmp_path / "run"
    exported(painting(write_car(tmp_path, tiles), materials=() if tiles else ("Body",)), run, format="glb")
    found, given = shown(read_mesh(run / "mesh.glb")), read_mesh(tmp_path / "car.obj").corners
    assert list(found) == (["Body.1001", "Body.1002"] if tiles else ["Body", "Wheels"])
    np.testing.assert_array_equal(np.concatenate([corners[..., :3] for corners, _ in found.values()]), given)
    if not tiles:
        np.testing.assert_allclose(found["Wheels"][1], np.tile(BLUE, (12, 1)), atol=3)


def test_ply_holds_all_of_it_in_one_texture(tmp_path: Path):
    run = tmp_path / "run"
    exported(painting(write_car(tmp_path), materials=("Body",)), run, format="ply")
    mesh, given = read_mesh(run / "mesh.ply"), read_mesh(tmp_path / "car.obj")
    np.testing.assert_array_equal(mesh.corners, given.corners)
    with Image.open(run / "mesh.png") as opened:
        picture = np.asarray(opened)
    assert (np.abs(picture - np.array(BLUE)).max(axis=-1) < 3).any(), "what was not painted is in it as it was"
