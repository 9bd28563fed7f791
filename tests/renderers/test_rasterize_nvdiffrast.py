"""nvdiffrast's adapter: with a stand-in that keeps its contract here, with the library itself where there is one."""

import threading
import time
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from core.types import Cameras
from renderers.fragments import Fragments
from renderers.rasterize import RASTERIZERS, RayCaster
from renderers.rasterize_nvdiffrast import NvdiffrastRasterizer, world_to_clip
from renderers.surface_views import ViewPool, draw_views
from tests.renderers.meshes import bumpy_ball
from tests.renderers.test_mesh import Sheet
from tests.renderers.test_rasterize import views


def scanned(clip: Tensor, faces: Tensor, height: int, width: int) -> Tensor:
    """(u, v, z/w, face + 1) of one view by the contract: homogeneous rasterisation of every pixel against every face.

    Row 0 is the lowest; u and v weigh the first and second corner, and are perspective-correct.
    """
    found = torch.zeros(height, width, 4)
    nearest = torch.full((height, width), torch.inf)
    x = (torch.arange(width) + 0.5) / width * 2 - 1
    y = (torch.arange(height) + 0.5) / height * 2 - 1
    pixels = torch.stack([x.expand(height, width), y[:, None].expand(height, width), torch.ones(height, width)], -1)
    for index, corners in enumerate(clip[faces.long()]):
        # A pixel (x, y) sees sum of b_i (X_i, Y_i, W_i) = W (x, y, 1): solve for b up to W.
        weights = pixels @ torch.linalg.inv(corners[:, [0, 1, 3]].double()).float()
        inside = (weights >= 0).all(-1) | (weights <= 0).all(-1)
        b = weights / weights.sum(-1, keepdim=True)
        z, w = b @ corners[:, 2], b @ corners[:, 3]
        seen = inside & (w > 0) & (z / w >= -1) & (z / w < nearest)
        nearest = torch.where(seen, z / w, nearest)
        value = torch.stack([b[..., 0], b[..., 1], z / w, torch.full_like(z, index + 1)], -1)
        found = torch.where(seen[..., None], value, found)
    return found


class StandIn:
    """`nvdiffrast.torch` as its documentation describes it; refuses what the library refuses."""

    RasterizeCudaContext = SimpleNamespace

    def rasterize(
        self, context: SimpleNamespace, pos: Tensor, tri: Tensor, resolution: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        assert isinstance(context, SimpleNamespace)
        assert (pos.dtype, tri.dtype) == (torch.float32, torch.int32)
        assert pos.ndim == 3
        assert pos.shape[-1] == 4
        assert pos.is_contiguous()
        assert tri.is_contiguous()
        found = torch.stack([scanned(view, tri, *resolution) for view in pos])
        return found, torch.zeros_like(found)


def assert_same(found: Fragments, expected: Fragments) -> None:
    """The same faces but for rays that run along an edge, and the same places on them."""
    same = found.face == expected.face
    assert float(same.float().mean()) > 0.998
    torch.testing.assert_close(found.barycentrics[same], expected.barycentrics[same], atol=5e-3, rtol=0)


@pytest.mark.parametrize("width", [20, 29])
def test_the_adapter_says_what_the_ray_caster_says(width: int):
    mesh = bumpy_ball()
    cameras = views(20, 2, width)
    assert_same(NvdiffrastRasterizer(*mesh, library=StandIn())(cameras), RayCaster(*mesh)(cameras))


def test_a_part_of_a_view_is_that_part():
    mesh = bumpy_ball()
    cameras = views(20, 2, 29).cut(4, 9, 12, 14)
    assert_same(NvdiffrastRasterizer(*mesh, library=StandIn())(cameras), RayCaster(*mesh)(cameras))


class Watched(StandIn):
    """Notes the contexts it made, and whether two threads were inside at once; each stays for a while."""

    def __init__(self) -> None:
        self.n_contexts, self.n_inside, self.threads, self.met = 0, 0, set[str](), False

    def RasterizeCudaContext(self, device: torch.device) -> SimpleNamespace:  # pyright: ignore[reportIncompatibleVariableOverride]  # noqa: N802
        self.n_contexts += 1
        time.sleep(0.02)
        return SimpleNamespace(device=device)

    def rasterize(
        self, context: SimpleNamespace, pos: Tensor, tri: Tensor, resolution: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        self.n_inside += 1
        self.met = self.met or self.n_inside > 1
        self.threads.add(threading.current_thread().name)
        time.sleep(0.02)
        found = super().rasterize(context, pos, tri, resolution)
        self.n_inside -= 1
        return found


def test_the_pools_threads_use_the_library_one_after_the_other():
    """One thread draws ahead while another draws what is not there yet, as at the beginning of a training."""
    surface, library = Sheet(), Watched()
    pool = ViewPool(NvdiffrastRasterizer(surface.vertices, surface.faces, library=library), 1)
    thread = pool.draw_ahead(surface, views(8, 6))
    others = [views(9, 1) for _ in range(6)]
    drawn = [pool.views(surface, cameras)[0] for cameras in others]
    thread.join()
    assert len(library.threads) == 2
    assert (library.n_contexts, library.met) == (1, False)
    (alone,) = draw_views(surface, pool.rasterizer, others[0], 1)
    assert all(torch.equal(view.uv, alone.uv) for view in drawn)


def test_clip_space_puts_the_optical_axis_in_the_middle():
    cameras: Cameras = views(10, 2)
    ahead = cameras.c2w[:, :3, 3] - 1.3 * cameras.c2w[:, :3, 2]
    above = ahead + 0.2 * cameras.c2w[:, :3, 1]
    for points, sign in ((ahead, 0.0), (above, 1.0)):
        x, y, _, w = torch.einsum("vij,vj->iv", world_to_clip(cameras), torch.cat([points, torch.ones(2, 1)], -1))
        torch.testing.assert_close(x / w, torch.zeros(2), atol=1e-6, rtol=0)
        torch.testing.assert_close(w, torch.full((2,), 1.3))
        assert torch.equal((y / w).sign() if sign else (y / w).abs().round(decimals=5), torch.full((2,), sign))


@pytest.mark.gpu
def test_nvdiffrast_equals_the_ray_caster():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    pytest.importorskip("nvdiffrast", reason="nvdiffrast is not installed")
    mesh = bumpy_ball()
    cameras = views(64, 3).to("cuda")
    found = RASTERIZERS.choose("nvdiffrast")(*mesh)(cameras)
    assert_same(found.to("cpu"), RayCaster(*mesh)(cameras.to("cpu")))
