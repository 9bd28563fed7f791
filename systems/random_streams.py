"""Chance as a function of time: every step of every stream has its own generator, made from the run's seed.

Nothing is carried from step to step, so a resumed training draws what the uninterrupted one would have drawn, and
neither logging nor validation can disturb it.
"""

import hashlib

import torch


def stream(seed: int, name: str, step: int, device: torch.device | str = "cpu") -> torch.Generator:
    """The generator of one step of a named stream ("training", "validation")."""
    digest = hashlib.sha256(f"{seed}/{name}/{step}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:4], "little"))
