"""Flat vectors against the torch tables: with a stand-in anywhere, with Triton and tiny-cuda-nn where they can run."""

import copy
import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from core.errors import UserError
from geometry.hash_grid import HashGrid
from geometry.hash_grid_backends import HASH_GRIDS, encoding_config
from geometry.hash_grid_flat import FlatHashGrid, flat_from_tables, tables_from_flat
from geometry.hash_grid_triton import TritonEncoding, triton_hash_grid
from geometry.hash_levels import HashGridShape, level_layout
from tests.geometry.test_hash_grid import feature_by_hand

ROOT = Path(__file__).parents[2]
SHAPE = HashGridShape(n_levels=3, base_resolution=4, finest_resolution=16, log2_table_size=9, n_features=2)


class FlatEncoding(nn.Module):
    """Stands in for tinycudann.Encoding: reads the documented flat layout, one number at a time."""

    def __init__(self, n_values: int) -> None:
        super().__init__()
        self.params = nn.Parameter(torch.randn(n_values))

    def forward(self, positions: Tensor) -> Tensor:
        rows = []
        for point in positions.tolist():
            features, offset = [], 0
            for level in level_layout(SHAPE):
                values = self.params[offset : offset + level.n_entries * SHAPE.n_features].tolist()
                pairs = [values[i : i + SHAPE.n_features] for i in range(0, len(values), SHAPE.n_features)]
                features += feature_by_hand(point, level.scale, level.resolution, pairs)
                offset += level.n_entries * SHAPE.n_features
            rows.append(features)
        return torch.tensor(rows)


def n_values() -> int:
    return sum(level.n_entries for level in level_layout(SHAPE)) * SHAPE.n_features


def test_flat_vector_holds_levels_then_entries_then_features() -> None:
    flat = torch.arange(n_values(), dtype=torch.float32)
    tables = tables_from_flat(flat, level_layout(SHAPE), 2)
    assert [len(table) for table in tables] == [64, 512, 512]  # 4^3, 8^3, and 16^3 hashed into 2^9
    assert tables[0][1].tolist() == [2.0, 3.0]
    assert tables[1][0].tolist() == [128.0, 129.0]
    assert torch.equal(flat_from_tables(tables), flat)


def test_a_state_travels_between_backends() -> None:
    torch.manual_seed(0)
    fast = FlatHashGrid(SHAPE, FlatEncoding(n_values()))
    plain = HashGrid(SHAPE)
    positions = torch.rand(10, 3)
    plain.load_state_dict(fast.state_dict())
    torch.testing.assert_close(plain(positions), fast(positions))
    again = FlatHashGrid(SHAPE, FlatEncoding(n_values()))
    again.load_state_dict(plain.state_dict())
    assert torch.equal(again.encoding.get_parameter("params"), fast.encoding.get_parameter("params"))


def test_a_state_inside_of_a_larger_module_keeps_its_prefix() -> None:
    field = nn.ModuleDict({"grid": FlatHashGrid(SHAPE, FlatEncoding(n_values()))})
    state = copy.deepcopy(field.state_dict())
    assert sorted(state) == ["grid.tables.0", "grid.tables.1", "grid.tables.2"]
    field.load_state_dict(state)
    with pytest.raises(RuntimeError, match=r"grid\.encoding\.params"):
        field.load_state_dict({"grid.tables.0": state["grid.tables.0"]})


def test_another_layout_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"made 10 values .* layout has 2176"):
        FlatHashGrid(SHAPE, FlatEncoding(10))


def test_encoding_config_states_the_growth_between_levels() -> None:
    config = encoding_config(SHAPE)
    assert config["per_level_scale"] == pytest.approx(2.0)
    assert (config["n_levels"], config["base_resolution"], config["log2_hashmap_size"]) == (3, 4, 9)


def test_naming_tcnn_where_it_cannot_run_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="hash grid: 'tcnn' cannot run here: tinycudann is not installed"):
        HASH_GRIDS.choose("tcnn")


def test_naming_triton_where_it_cannot_run_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="hash grid: 'triton' cannot run here: triton is not installed"):
        HASH_GRIDS.choose("triton")


def assert_equals_torch(fast: nn.Module, shape: HashGridShape, n_points: int, device: str) -> None:
    """Values and gradients, of tables and positions; the outermost points included."""
    plain = HashGrid(shape).to(device)
    plain.load_state_dict(fast.state_dict())
    pull = torch.randn(n_points, shape.n_levels * shape.n_features, device=device)
    here = torch.rand(n_points, 3, device=device)
    here[0], here[1] = 0.0, 1.0
    there = here.clone().requires_grad_()
    here.requires_grad_()
    slow, quick = plain(here), fast(there)
    torch.testing.assert_close(quick.float(), slow, rtol=1e-3, atol=1e-6)
    (slow * pull).sum().backward()
    (quick * pull).sum().backward()
    gradient = fast.get_parameter("encoding.params").grad
    assert gradient is not None
    expected = flat_from_tables([table.grad for table in plain.tables if table.grad is not None])
    torch.testing.assert_close(gradient, expected, rtol=1e-2, atol=1e-3)
    assert here.grad is not None
    torch.testing.assert_close(there.grad, here.grad, rtol=1e-2, atol=1e-5)


def test_a_grid_of_the_gpu_answers_on_the_cpu_too() -> None:
    """Which backend runs is chosen by the machine, and `--device cpu` may be said on any."""
    shape = replace(SHAPE, n_features=4)
    assert_equals_torch(triton_hash_grid(shape), shape, 100, "cpu")


@pytest.mark.gpu
@pytest.mark.parametrize("n_features", [2, 4])
@pytest.mark.parametrize("backend", ["triton", "tcnn"])
def test_a_fast_backend_equals_torch_in_values_and_gradients(backend: str, n_features: int) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    if backend == "tcnn":
        pytest.importorskip("tinycudann", reason="tinycudann is not installed")
    shape = replace(SHAPE, n_features=n_features)
    assert_equals_torch(HASH_GRIDS.choose(backend)(shape).cuda(), shape, 1000, "cuda")


def interpreted(n_features: int) -> None:
    """Triton's interpreter runs on a CPU what is compiled for a GPU."""
    shape = replace(SHAPE, n_features=n_features)
    assert_equals_torch(FlatHashGrid(shape, TritonEncoding(shape)), shape, 150, "cpu")


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed (pip install triton)")
@pytest.mark.skipif(torch.cuda.is_available(), reason="compiled and tested on the GPU")
@pytest.mark.parametrize("n_features", [2, 4])
def test_tritons_kernels_interpreted_equal_torch(n_features: int) -> None:
    """In a process of its own: Triton asks when it is imported whether it is to interpret."""
    code = f"from tests.geometry.test_hash_grid_flat import interpreted; interpreted({n_features})"
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, check=True)
