"""Reads `world.json` of a model's folder: the one place where the numbers of its training data live."""

from pathlib import Path
from typing import Any

from core.cameras import ViewBins
from core.errors import UserError
from core.files import parse_json
from core.training_distribution import TrainingDistribution


def read_training_distribution(folder: Path | None) -> TrainingDistribution | None:
    """The world of a model's folder; None where it holds no `world.json`.

    Raises:
        UserError: naming the file and what is wrong in it.
    """
    if folder is None or not (folder / "world.json").is_file():
        return None
    path = folder / "world.json"
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
        return _parse(content)
    except KeyError as error:
        raise UserError(f"{path}: {error} is missing") from error
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: {error}") from error


def _parse(content: dict[str, Any]) -> TrainingDistribution:
    cameras = content["cameras"]
    bins = content["view_bins"]
    return TrainingDistribution(
        object_radius=float(content["object_radius"]),
        elevation_deg=_pair(cameras["elevation_deg"]),
        radius=_pair(cameras["radius"]),
        fovy_deg=_pair(cameras["fovy_deg"]),
        view_bins=ViewBins(
            overhead_deg=float(bins["overhead_deg"]),
            bottom_deg=float(bins["bottom_deg"]),
            front_half_width_deg=float(bins["front_half_width_deg"]),
        ),
        backgrounds={str(name): _colour(value) for name, value in content["backgrounds"].items()},
        vocabulary=tuple(str(word) for word in content.get("vocabulary", ())),
    )


def _pair(value: Any) -> tuple[float, float]:
    low, high = (float(number) for number in value)
    if low > high:
        raise ValueError(f"the range {value} runs downwards")
    return low, high


def _colour(value: Any) -> tuple[float, float, float]:
    red, green, blue = (float(number) for number in value)
    return red, green, blue
