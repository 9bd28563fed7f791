"""Pictures of balls against closed forms and against a dense rendering with every sample in one table."""

import math
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from core.cameras import camera_rays, orbit_cameras
from core.errors import UserError
from core.kinds import TexturedSurface
from core.types import Cameras, FieldOutput, RenderOutput
from geometry.latent_field import HashGridField
from renderers.backgrounds import SolidColor
from renderers.sampling import ball_span, stratified_intervals
from renderers.volume import VolumeRenderer
from tests.fields import Balls


def renderer(field: Balls, **settings: Any) -> VolumeRenderer:
    made = VolumeRenderer(VolumeRenderer.Config(**{"occupancy_resolution": 20, **settings}), field)
    return made.eval()


def views(size: int = 9) -> Cameras:
    angles = torch.tensor([0.0, 40.0])
    return orbit_cameras(angles, angles * 3, torch.full((2,), 2.0), torch.full((2,), 30.0), size, size)


def background() -> SolidColor:
    made = SolidColor(SolidColor.Config(), 3)
    made.set_bank(torch.tensor([[[[2.0, -1.0, 0.5]]]]))
    return made


def render(made: VolumeRenderer, field: Balls, cameras: Cameras, seed: int = 0, normals: bool = False) -> RenderOutput:
    return made(field, background(), cameras, Generator().manual_seed(seed), normals)


def chords(cameras: Cameras, radius: float) -> tuple[Tensor, Tensor]:
    rays = camera_rays(cameras)
    near, far = ball_span(rays.origins.reshape(-1, 3), rays.directions.reshape(-1, 3), radius)
    return near.view(rays.origins.shape[:-1]), (far - near).view(rays.origins.shape[:-1])


def test_a_ball_of_constant_density_has_its_opacity_exactly() -> None:
    field, cameras = Balls(9.0, 1.5), views()  # fills the field's own ball: intervals are cut at its surface
    output = render(renderer(field), field, cameras)
    _, chord = chords(cameras, field.bound)
    torch.testing.assert_close(output.opacity, 1 - torch.exp(-1.5 * chord), atol=1e-5, rtol=0)


def test_its_depth_is_the_mean_of_the_exponential_law() -> None:
    density, field, cameras = 3.0, Balls(9.0, 3.0), views()
    output = render(renderer(field, samples_per_ray=400), field, cameras)
    near, chord = chords(cameras, field.bound)
    left = torch.exp(-density * chord)
    expected = near + (1 / density - left * (chord + 1 / density)) / (1 - left)
    hit = chord > 0.1
    torch.testing.assert_close(output.depth[hit], expected[hit], atol=2e-4, rtol=0)
    assert not output.depth[chord == 0].any()


def test_an_opaque_ball_shows_its_near_surface_and_hides_the_background() -> None:
    field, cameras = Balls(0.4, 1e4), views()
    output = render(renderer(field, samples_per_ray=200), field, cameras)
    near, chord = chords(cameras, 0.4)
    inside, outside = chord > 0.1, chord == 0
    assert output.opacity[inside].min() > 0.999
    torch.testing.assert_close(output.depth[inside], near[inside], atol=1.4 / 200, rtol=0)
    rays = camera_rays(cameras)
    surface = rays.origins + near[..., None] * rays.directions
    torch.testing.assert_close(output.latents[inside], surface[inside], atol=1.4 / 200, rtol=0)
    torch.testing.assert_close(output.latents[outside], torch.tensor([[2.0, -1.0, 0.5]]).expand(int(outside.sum()), 3))


def dense_rendering(field: Balls, cameras: Cameras, n_samples: int, seed: int) -> tuple[Tensor, Tensor]:
    """Foreground and opacity with every sample of every ray, one ray and one sample after the other."""
    rays = camera_rays(cameras)
    origins, directions = rays.origins.reshape(-1, 3), rays.directions.reshape(-1, 3)
    near, far = ball_span(origins, directions, field.bound)
    places = torch.rand(len(near), n_samples, generator=Generator().manual_seed(seed))
    made = stratified_intervals(near, far, 2 * field.bound / n_samples, n_samples, places)
    colours, opacities = [], []
    for origin, direction, distances, widths in zip(origins, directions, made.distances, made.widths, strict=True):
        output = field(origin + distances[:, None] * direction)
        light, colour = 1.0, torch.zeros(3)
        for density, feature, width in zip(output.density.tolist(), output.features, widths.tolist(), strict=True):
            alpha = 1 - math.exp(-density * width)
            colour = colour + light * alpha * feature
            light *= 1 - alpha
        colours.append(colour)
        opacities.append(1 - light)
    return torch.stack(colours).view(rays.directions.shape), torch.tensor(opacities).view(rays.directions.shape[:-1])


@pytest.mark.parametrize("samples_per_chunk", [1, 6, 500])
def test_packed_samples_in_chunks_equal_the_dense_rendering(samples_per_chunk: int) -> None:
    field, camera = Balls(0.45, 6.0, softness=0.05), views(5)[:1]
    made = renderer(field, samples_per_ray=20, early_stop=0.0, samples_per_chunk=samples_per_chunk).train()
    output = render(made, field, camera, seed=3)
    colour, opacity = dense_rendering(field, camera, 20, seed=3)
    torch.testing.assert_close(output.foreground, colour, atol=1e-5, rtol=0)
    torch.testing.assert_close(output.opacity, opacity, atol=1e-5, rtol=0)


def test_rays_in_chunks_equal_all_rays_at_once() -> None:
    field, cameras = Balls(0.45, 6.0, softness=0.05), views(5)
    whole = render(renderer(field), field, cameras, normals=True)
    pieces = render(renderer(field, rays_per_chunk=17), field, cameras, normals=True)
    assert whole.normals is not None
    assert whole.samples is not None
    assert pieces.normals is not None
    assert pieces.samples is not None
    torch.testing.assert_close(pieces.latents, whole.latents)
    torch.testing.assert_close(pieces.depth, whole.depth)
    torch.testing.assert_close(pieces.normals, whole.normals)
    assert torch.equal(pieces.samples.ray_index, whole.samples.ray_index)


def test_early_stop_looks_at_less_and_loses_no_more_than_it_says() -> None:
    field, cameras = Balls(0.5, 60.0), views()
    whole = render(renderer(field, early_stop=0.0), field, cameras)
    seen_by_whole, field.n_points = field.n_points, 0
    stopped = render(renderer(field, early_stop=1e-3, samples_per_chunk=4), field, cameras)
    assert field.n_points < 0.75 * seen_by_whole
    lost = whole.opacity - stopped.opacity
    assert lost.min() >= -1e-6
    assert lost.max() <= 1e-3


def test_skipping_costs_no_more_opacity_than_the_skipped_optical_depth() -> None:
    field, cameras = Balls(0.35, 3.0, softness=0.03), views(15)
    full = renderer(field, early_stop=0.0)
    whole = render(full, field, cameras)
    skipping = renderer(field, early_stop=0.0, occupancy_warmup_steps=0, occupancy_threshold=0.02)
    skipping.refresh(field, 0, Generator().manual_seed(1))
    partial = render(skipping, field, cameras)
    assert whole.samples is not None
    skipped = ~skipping.occupancy.contains(whole.samples.positions)
    assert 0.3 < skipped.float().mean() < 0.95
    depth = torch.zeros(whole.opacity.numel()).index_add(
        0, whole.samples.ray_index[skipped], (whole.samples.density * whole.samples.widths)[skipped]
    )
    lost = (whole.opacity - partial.opacity).flatten()
    assert lost.max() > 1e-3, "the test must skip something"
    assert (lost <= -torch.expm1(-depth) + 1e-6).all()
    assert lost.min() >= -1e-6


def test_samples_are_told_ray_after_ray_and_account_for_the_opacity() -> None:
    field, cameras = Balls(0.4, 10.0, softness=0.05), views()
    for settings in ({"samples_per_chunk": 5}, {"rays_per_chunk": 50, "samples_per_chunk": 7}):
        output = render(renderer(field, **settings), field, cameras)
        samples = output.samples
        assert samples is not None
        assert (samples.ray_index.diff() >= 0).all()
        total = torch.zeros(output.opacity.numel()).index_add(0, samples.ray_index, samples.weights)
        torch.testing.assert_close(total, output.opacity.flatten())
        torch.testing.assert_close(samples.density, field(samples.positions).density)
        rays = camera_rays(cameras)
        along = samples.positions - rays.origins.reshape(-1, 3)[samples.ray_index]
        off = torch.linalg.cross(along, rays.directions.reshape(-1, 3)[samples.ray_index]).norm(dim=-1)
        assert off.max() < 1e-5, "each sample lies on the ray that it names"


def test_normals_point_outward_and_are_made_only_when_asked_for() -> None:
    field, cameras = Balls(0.4, 300.0, softness=0.02), views()
    assert render(renderer(field), field, cameras).normals is None
    output = render(renderer(field, samples_per_ray=100), field, cameras, normals=True)
    near, chord = chords(cameras, 0.4)
    rays = camera_rays(cameras)
    outward = torch.nn.functional.normalize(rays.origins + near[..., None] * rays.directions, dim=-1)
    inside = chord > 0.2
    assert output.normals is not None
    assert (output.normals * outward).sum(dim=-1)[inside].min() > 0.95
    assert not output.normals[output.opacity == 0].any()


def test_gradients_equal_differences() -> None:
    class Scaled(Balls):
        """A ball with one trained number."""

        def __init__(self) -> None:
            super().__init__(0.5, 4.0, softness=0.1)
            self.scale = torch.nn.Parameter(torch.tensor(1.3, dtype=torch.float64))

        def forward(self, positions: Tensor) -> FieldOutput:
            output = super().forward(positions)
            return FieldOutput(output.density * self.scale, output.features * self.scale)

    field = Scaled()
    cameras = views(3)
    made = renderer(field, samples_per_chunk=4, early_stop=0.0)

    def loss() -> Tensor:
        output = render(made, field, cameras)
        return (output.latents.square().mean() + output.depth.mean()).double()

    (gradient,) = torch.autograd.grad(loss(), field.scale)
    values = []
    for shift in (1e-2, -1e-2):
        with torch.no_grad():
            field.scale.add_(shift)
            values.append(float(loss()))
            field.scale.sub_(shift)
    assert gradient.item() == pytest.approx((values[0] - values[1]) / 2e-2, rel=1e-3)


def test_training_moves_samples_by_the_generator_and_evaluation_does_not() -> None:
    field, cameras = Balls(0.45, 6.0, softness=0.05), views()
    made = renderer(field)
    assert torch.equal(render(made, field, cameras, 1).latents, render(made, field, cameras, 2).latents)
    made.train()
    assert not torch.equal(render(made, field, cameras, 1).latents, render(made, field, cameras, 2).latents)
    assert torch.equal(render(made, field, cameras, 1).latents, render(made, field, cameras, 1).latents)


def test_an_all_skipped_scene_is_background_alone() -> None:
    field, cameras = Balls(0.4, 10.0), views()
    made = renderer(field)
    made.occupancy.occupied.zero_()
    output = render(made, field, cameras, normals=True)
    assert not output.opacity.any()
    assert not output.depth.any()
    torch.testing.assert_close(output.latents, torch.tensor([2.0, -1.0, 0.5]).expand_as(output.latents))
    assert output.samples is not None
    assert len(output.samples.density) == 0


def test_the_field_is_called_once_per_chunk() -> None:
    field, cameras = Balls(0.4, 0.1), views()
    render(renderer(field, samples_per_ray=24, samples_per_chunk=8), field, cameras)
    assert field.n_calls == 3


def test_the_state_holds_the_occupancy_grid() -> None:
    field = Balls(0.3, 50.0)
    first, second = (renderer(field, occupancy_warmup_steps=0) for _ in range(2))
    first.refresh(field, 0, Generator().manual_seed(0))
    second.load_state_dict(first.state_dict())
    assert torch.equal(second.occupancy.occupied, first.occupancy.occupied)
    assert not second.occupancy.occupied.all()


class Sheet(TexturedSurface):
    """A geometry that is no density field."""

    part_name = "sheet"

    def forward(self, uv: Tensor, width: Tensor) -> Tensor:
        return uv


def test_another_geometry_is_refused_naming_what_fits() -> None:
    with pytest.raises(UserError, match=rf"shows density fields \(.*{HashGridField.part_name}.*\), 'sheet' is none"):
        VolumeRenderer(VolumeRenderer.Config(), Sheet())


class Wide(Balls):
    """Gives more features than it says."""

    part_name = "wide"

    def forward(self, positions: Tensor) -> FieldOutput:
        seen = super().forward(positions)
        return FieldOutput(seen.density, torch.cat([seen.features, seen.features], dim=-1))


class Halved(Balls):
    """Gives the density of every other point."""

    part_name = "halved"

    def forward(self, positions: Tensor) -> FieldOutput:
        return super().forward(positions[::2])


@pytest.mark.parametrize(
    ("sort", "said"),
    [(Wide, r"\((\d+), 6\), not features of shape \(\1, 3\)"), (Halved, r"\(\d+,\), not a density of")],
)
def test_a_field_that_gives_other_shapes_is_named(sort: type[Balls], said: str) -> None:
    field = sort(0.4, 10.0)
    start = rf"test_volume\.py:\d+: forward of the geometry '{sort.__dict__['part_name']}' gave a tensor of shape "
    with pytest.raises(UserError, match=start + said):
        render(renderer(field), field, views())


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"samples_per_ray": 0}, "samples_per_ray: at least 1, got 0"),
        ({"early_stop": 1.0}, "early_stop: from 0 to below 1, got 1.0"),
        ({"occupancy_warmup_steps": -1}, "occupancy_warmup_steps: at least 0, got -1"),
    ],
)
def test_nonsense_is_refused(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(UserError, match=f"^{text}"):
        VolumeRenderer.Config(**settings)


def test_with_less_memory_it_shows_the_same_and_its_gradient_is_the_same() -> None:
    torch.manual_seed(0)
    field = HashGridField(HashGridField.Config(n_levels=2, log2_table_size=10, finest_resolution=16), 3)
    made, cameras = renderer(field, samples_per_ray=60, rays_per_chunk=50), views(20)  # pyright: ignore[reportArgumentType]

    def seen() -> tuple[list[Tensor], list[Tensor]]:
        output = render(made, field, cameras, normals=True)  # pyright: ignore[reportArgumentType]
        assert output.normals is not None
        shown = [output.latents, output.depth, output.normals]
        loss = torch.stack([each.square().sum() for each in shown]).sum()
        return shown, list(torch.autograd.grad(loss, list(field.parameters())))

    wanted, before = seen()
    assert made.take_less_memory()
    shown, gradients = seen()
    torch.testing.assert_close(shown, wanted)
    torch.testing.assert_close(gradients, before)


def test_it_takes_less_memory_until_that_saves_nothing() -> None:
    made = renderer(Balls(0.4, 1.0), rays_per_chunk=1024)
    assert [made.take_less_memory() for _ in range(4)] == [True, True, False, False]
    assert renderer(Balls(0.4, 1.0), rays_per_chunk=4).take_less_memory(), "computing again saves also then"
