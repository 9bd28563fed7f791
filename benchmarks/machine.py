"""What a measurement was made on: hardware, versions, the state of the code, and how fast it multiplies matrices."""

import platform
import statistics
import subprocess
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[1]
PACKAGES = ("torch", "lightning", "diffusers", "transformers", "numpy", "scipy", "trimesh")


def describe_machine(device: str = "cpu") -> dict[str, Any]:
    """Date, hardware, versions and GFLOP/s; plain values."""
    gpu = {"gpu": torch.cuda.get_device_name()} if device == "cuda" else {}
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "cpu": _cpu_name(),
        "threads": torch.get_num_threads(),
        **gpu,
        "gflops": round(matmul_gflops(device), 1),
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
    }


def matmul_gflops(device: str = "cpu", size: int = 1024, n_repeats: int = 7) -> float:
    """10^9 floating-point operations per second in products of size x size float32 matrices; the median product.

    On a busy machine this is the speed that other processes leave.
    """
    a = torch.randn(size, size, generator=torch.Generator().manual_seed(0)).to(device)
    seconds = []
    for _ in range(n_repeats + 1):
        start = time.perf_counter()
        float((a @ a)[0, 0])  # reading a number waits for a GPU
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / statistics.median(seconds[1:]) / 1e9


def commit() -> str:
    """The commit that is checked out, with `+` where files differ from it; `unknown` without git."""
    try:
        words = ("git", "-C", str(ROOT))
        name = subprocess.run([*words, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        tree = [*words, "status", "--porcelain", "--untracked-files=no"]
        changed = subprocess.run(tree, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return name.stdout.strip() + ("+" if changed.stdout.strip() else "")


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.processor() or platform.machine()
