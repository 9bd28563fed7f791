"""Where and with what a model was made, for its card."""

import datetime
import platform

import diffusers
import torch
import transformers


def origin_facts(device: str) -> dict:
    """Date, hardware and versions, as `training.json` keeps them."""
    packages = (torch, diffusers, transformers)
    return {
        "date": datetime.date.today().isoformat(),
        "hardware": _hardware(device),
        "versions": {
            "python": platform.python_version(),
            **{package.__name__: package.__version__ for package in packages},
        },
    }


def _hardware(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    return f"CPU, {torch.get_num_threads()} threads, {platform.machine()}"
