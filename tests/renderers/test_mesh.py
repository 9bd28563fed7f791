"""The mesh renderer: a textured sheet by its closed form, supersampling, kept views, gradients."""

import threading
from pathlib import Path

import pytest
import torch
import trimesh
from torch import Generator, Tensor, nn

from core.cameras import camera_rays, orbit_cameras
from core.errors import UserError
from core.kinds import Background, TexturedSurface
from core.types import Cameras
from geometry.textured_mesh import TexturedMesh
from renderers.fragments import Fragments
from renderers.mesh import MeshRenderer
from renderers.surface_views import draw_views
from tests.fields import Balls
from tests.renderers.meshes import bumpy_ball

HALF = 0.4


class Sheet(TexturedSurface):
    """A square of side 0.8 in the plane z = 0 whose texture shows (u, v, 1), scaled by what is learnt."""

    n_channels = 3

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = ((x * HALF, y * HALF, 0.0) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1)))
        self.vertices = torch.tensor([a, b, c, d])
        self.faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
        self.corner_uv = (self.vertices[self.faces][..., :2] / HALF + 1) / 2
        self.scale = nn.Parameter(torch.ones(3))
        self.n_calls = 0

    def forward(self, uv: Tensor, footprint: Tensor) -> Tensor:
        self.n_calls += 1
        return torch.cat([uv, torch.ones_like(uv[:, :1])], dim=-1) * self.scale


class Wall(Background):
    """5 everywhere."""

    def forward(self, directions: Tensor, rng: Generator) -> Tensor:
        return torch.full_like(directions, 5.0)


def cameras(size: int = 20) -> Cameras:
    turn, same = torch.tensor([10.0, -40.0, 160.0]), torch.ones(3)
    return orbit_cameras(25 * same, turn, 1.6 * same, 47 * same, size, size)


def renderer(surface: TexturedSurface, points_per_side: int = 2) -> MeshRenderer:
    return MeshRenderer(MeshRenderer.Config(points_per_side=points_per_side), surface)


def closed_form(views: Cameras) -> tuple[Tensor, Tensor, Tensor]:
    """Mask, texture and distance where rays through pixel centres meet the plane z = 0."""
    rays = camera_rays(views)
    distance = -rays.origins[..., 2] / rays.directions[..., 2]
    place = (rays.origins + distance[..., None] * rays.directions)[..., :2]
    mask = (place.abs() < HALF).all(dim=-1)
    uv = (place / HALF + 1) / 2
    return mask, torch.cat([uv, torch.ones_like(uv[..., :1])], dim=-1), distance


def test_one_point_per_pixel_is_the_closed_form():
    surface, views = Sheet(), cameras()
    seen = renderer(surface, 1)(surface, Wall(), views, Generator())
    mask, texture, distance = closed_form(views)
    assert torch.equal(seen.opacity, mask.float())
    torch.testing.assert_close(seen.latents[mask], texture[mask], atol=1e-4, rtol=0)
    assert bool((seen.latents[~mask] == 5).all())
    torch.testing.assert_close(seen.depth[mask], distance[mask], atol=1e-4, rtol=0)


def test_several_points_are_the_mean_of_a_finer_picture():
    surface, views = Sheet(), cameras()
    seen = renderer(surface, 3)(surface, Wall(), views, Generator())
    mask, texture, _ = closed_form(views.resized(60, 60))
    fine = torch.where(mask[..., None], texture, torch.tensor(5.0))
    expected = fine.view(3, 20, 3, 20, 3, 3).mean(dim=(2, 4))
    torch.testing.assert_close(seen.latents, expected, atol=1e-4, rtol=0)
    assert 0 < float(((seen.opacity > 0) & (seen.opacity < 1)).float().mean()) < 0.3


def test_normals_look_outward_and_are_premultiplied():
    surface, views = Sheet(), cameras()
    seen = renderer(surface)(surface, Wall(), views, Generator(), with_normals=True)
    assert seen.normals is not None
    torch.testing.assert_close(seen.normals[..., 2], seen.opacity)
    assert renderer(surface)(surface, Wall(), views, Generator()).normals is None


def test_views_drawn_ahead_are_the_same_views():
    surface, views = Sheet(), cameras()
    ahead, plain = renderer(surface), renderer(surface)
    ahead.pool.draw_ahead(surface, views).join()
    drawn = ahead.pool.rasterizer
    ahead.pool.rasterizer = lambda _: pytest.fail("a kept view was drawn again")
    some = views.chosen(torch.tensor([2, 0]))
    kept = ahead(surface, Wall(), some, Generator()).latents
    assert torch.equal(kept, plain(surface, Wall(), some, Generator()).latents)
    ahead.pool.rasterizer = drawn
    other = ahead(surface, Wall(), views.resized(10, 10), Generator())  # not kept: drawn now
    assert other.latents.shape == (3, 10, 10, 3)


def test_drawing_ahead_ends_when_told_and_the_program_waits_for_it():
    surface, views = Sheet(), cameras()
    pool = renderer(surface).pool
    inside, go_on = threading.Event(), threading.Event()
    cast, drawn = pool.rasterizer, []

    def slow(camera: Cameras) -> Fragments:
        drawn.append(camera)
        inside.set()
        go_on.wait(10)
        return cast(camera)

    pool.rasterizer = slow
    thread = pool.draw_ahead(surface, views)
    assert not thread.daemon, "a daemon is cut off within the ray caster when the program ends"
    inside.wait(10)
    pool.end()
    go_on.set()
    thread.join(10)
    assert not thread.is_alive()
    assert len(drawn) == 1, "the view in hand is finished, the other two are left"


def test_the_footprint_is_the_textures_share_of_a_pixel():
    """Twice the texture for the same surface is twice the footprint; and one look straight at it, by hand."""
    surface = Sheet()
    level, one = torch.zeros(1), torch.ones(1)
    straight = orbit_cameras(level, level, 1.6 * one, 47.0 * one, 41, 41)
    (view,) = draw_views(surface, renderer(surface).pool.rasterizer, straight, 1)
    middle = int((view.pixel == 20 * 41 + 20).nonzero())
    pixel = 2 * 1.6 * float(torch.tan(torch.deg2rad(torch.tensor(23.5)))) / 41
    assert float(view.footprint[middle]) == pytest.approx(pixel / (2 * HALF), rel=1e-4)
    surface.corner_uv = 2 * surface.corner_uv
    (twice,) = draw_views(surface, renderer(surface).pool.rasterizer, straight, 1)
    torch.testing.assert_close(twice.footprint, 2 * view.footprint)


def test_the_texture_alone_has_a_gradient_and_only_where_it_is_seen():
    surface, views = Sheet(), cameras()
    seen = renderer(surface)(surface, Wall(), views, Generator())
    seen.latents.sum().backward()
    assert surface.scale.grad is not None
    torch.testing.assert_close(surface.scale.grad[2], seen.opacity.sum())
    assert not seen.opacity.requires_grad


def test_a_closed_body_covers_itself():
    class Ball(Sheet):
        def __init__(self) -> None:
            super().__init__()
            self.vertices, self.faces = bumpy_ball()
            self.corner_uv = torch.rand(len(self.faces), 3, 2, generator=Generator().manual_seed(0))

    surface, views = Ball(), cameras()
    seen = renderer(surface)(surface, Wall(), views, Generator(), with_normals=True)
    assert seen.normals is not None
    toward = -camera_rays(views).directions
    facing = (seen.normals * toward).sum(dim=-1)
    assert bool((facing >= -1e-6).all()), "no face that looks away is seen"


def test_a_volume_is_refused_by_name():
    field = Balls(0.3, 1.0)
    field.part_name = "balls"  # pyright: ignore[reportAttributeAccessIssue]
    complaint = rf"renderer 'rasterizer' shows textured surfaces \(.*{TexturedMesh.part_name}.*\), 'balls' is none"
    with pytest.raises(UserError, match=complaint):
        MeshRenderer(MeshRenderer.Config(), field)


def test_a_texture_of_the_wrong_shape_is_named():
    surface = Sheet()
    surface.part_name = "sheet"  # pyright: ignore[reportAttributeAccessIssue]
    surface.forward = lambda uv, footprint: uv  # pyright: ignore[reportAttributeAccessIssue]
    said = r"test_mesh\.py:\d+: .* 'sheet' gave a tensor of shape \((\d+), 2\), not one of shape \(\1, 3\)$"
    with pytest.raises(UserError, match=said):
        renderer(surface)(surface, Wall(), cameras(), Generator())


def kept_for_the_gradient(make: MeshRenderer, surface: TexturedSurface) -> tuple[Tensor, list[Tensor], int]:
    """A picture, its gradient, and the bytes that are kept between the two beside the texture."""
    storages: dict[int, int] = {}

    def count(kept: Tensor) -> Tensor:
        storages[kept.untyped_storage().data_ptr()] = kept.untyped_storage().nbytes()
        return kept

    with torch.autograd.graph.saved_tensors_hooks(count, lambda kept: kept):
        seen = make(surface, Wall(), cameras(120), Generator()).latents
        loss = seen.square().sum()
    return seen.detach(), list(torch.autograd.grad(loss, list(surface.parameters()))), sum(storages.values())


def test_with_less_memory_it_shows_the_same_and_keeps_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("renderers.mesh.FEWER_AT_ONCE", 5000)
    (tmp_path / "ball.obj").write_text(str(trimesh.creation.icosphere(subdivisions=2).export(file_type="obj")))
    surface = TexturedMesh(TexturedMesh.Config(path=tmp_path / "ball.obj", texture_size=32), 3)
    torch.nn.init.normal_(surface.texture, generator=Generator().manual_seed(0))
    made = renderer(surface)
    wanted, gradients, most = kept_for_the_gradient(made, surface)
    assert made.take_less_memory()
    shown, again, less = kept_for_the_gradient(made, surface)
    torch.testing.assert_close(shown, wanted)
    torch.testing.assert_close(again, gradients, rtol=1e-3, atol=1e-4)
    assert less < most / 3
    assert not made.take_less_memory(), "nothing more can be done"
