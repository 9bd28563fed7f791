"""Guidance without a network that goes wrong on demand: FAULT=nan-loss-once:5, nan-gradient:5, memory:5.

FAULT=tight:200 leaves 200 MiB of memory to the training.
"""

import ctypes
import os
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from core.kinds import Guidance
from core.types import Cameras, GuidanceOutput, RenderOutput

#: What goes wrong at a step: then only where its name ends in "once", else from there on.
KIND, _, AT = os.environ.get("FAULT", "none:0").partition(":")
#: Seconds that a step, its preparation and looking at its result take beside what they take.
STEP, PREPARE, DECODE = (float(os.environ.get(f"{name}_SECONDS", "0")) for name in ("STEP", "PREPARE", "DECODE"))


class FaultyGuidance(Guidance, name="faulty"):
    """Pulls to noise around 0.3."""

    @dataclass(frozen=True)
    class Config:
        scale: float = 1.0
        """Factor on the loss."""

    latent_channels = property(lambda self: 4)
    latent_size = property(lambda self: 8)
    picture_size = property(lambda self: 8)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config

    def prepare(self, prompt: str) -> None:
        """Nothing to prepare, but it may take long."""
        if KIND == "tight":
            # Large blocks are given back when they are freed, and threads share one heap (M_MMAP_THRESHOLD, M_ARENA_MAX
            # of malloc.h): else gaps that chance has left in the heap count as taken.
            libc = ctypes.CDLL(None)
            libc.mallopt(-3, 2**20)
            libc.mallopt(-8, 1)
            taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            limit = taken + int(AT) * 2**20
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        _wait(PREPARE)

    def forward(
        self, render: RenderOutput, cameras: Cameras, step: int, total_steps: int, rng: Generator
    ) -> GuidanceOutput:
        """The squared distance, or what the fault makes of it."""
        _wait(STEP)
        latents = render.latents
        goal = 0.3 + 0.1 * torch.randn(latents.shape, generator=rng)
        is_now = step == int(AT) if KIND.endswith("once") else step >= int(AT)
        if is_now and KIND.startswith("nan-gradient"):
            latents.register_hook(lambda gradient: gradient * float("nan"))
        if is_now and KIND == "memory":
            torch.empty(10**14)
        loss = self.config.scale * (latents - goal).square().mean()
        if is_now and KIND.startswith("nan-loss"):
            loss = loss * float("nan")
        if is_now and KIND.startswith("infinite-loss"):
            loss = loss + float("inf")  # its gradient stays finite
        return GuidanceOutput(loss, {})

    def decode(self, latents: Float[Tensor, "views height width channels"]) -> Float[Tensor, "views rows columns 3"]:
        """The first three channels."""
        _wait(DECODE)
        return latents[..., :3].clamp(0, 1)

    def encode(self, pictures: Float[Tensor, "views rows columns 3"]) -> Float[Tensor, "views height width channels"]:
        """And a fourth."""
        return torch.cat([pictures, pictures[..., :1]], -1)


def _wait(seconds: float) -> None:
    """In a loop: a signal that comes meanwhile is handled at once, as between the operations of a long step."""
    if seconds > 1:
        print("waiting", file=sys.stderr, flush=True)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(0.01)
