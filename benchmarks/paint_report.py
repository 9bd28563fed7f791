"""The painting benchmark's results: what must hold of all paintings together, and each in a few lines."""

from collections.abc import Sequence
from statistics import fmean

from benchmarks.floors import Floor
from benchmarks.paint_seams import RULE
from benchmarks.painted_files import TextureFigures
from benchmarks.painting import Painting
from exporters.seams import SeamGaps

FARTHEST_COLOUR, FIXED_SHARE, LONGEST_S = 0.15, 0.7, 60.0


def floors(paintings: Sequence[Painting]) -> list[Floor]:
    """The demands, in the order of the issue that states them."""
    n = len(paintings)
    named = sum(painting.colour_right for painting in paintings)
    farthest = max(painting.parts.main_distance for painting in paintings)
    n_fixed, right = (sum(getattr(p.parts, name) for p in paintings) for name in ("n_fixed", "n_fixed_right"))
    share = right / max(n_fixed, 1)
    slowest = max(painting.seconds for painting in paintings)
    better = _better_than_first(paintings)
    return [
        Floor("colour named right", named / n, 11 / 12, f"{named} of {n}, at least 11 of 12 wanted"),
        Floor("main colour", -farthest, -FARTHEST_COLOUR, f"farthest {farthest:.3f}, at most {FARTHEST_COLOUR} wanted"),
        Floor(
            "parts of a fixed colour", share, FIXED_SHARE, f"{right} of {n_fixed}, at least {FIXED_SHARE:.0%} wanted"
        ),
        Floor("better than the beginning on all three", float(better), 1.0, "yes" if better else "no"),
        _geometry(paintings),
        _seams(paintings),
        Floor("time", -slowest, -LONGEST_S, f"slowest {slowest:.0f} s, at most {LONGEST_S:.0f} s wanted"),
    ]


def _geometry(paintings: Sequence[Painting]) -> Floor:
    faults = [f"{p.prompt}: {p.geometry_fault}" for p in paintings if p.geometry_fault]
    kept = len(paintings) - len(faults)
    return Floor(
        "geometry kept", kept / len(paintings), 1.0, "; ".join([f"{kept} of {len(paintings)}, all wanted", *faults])
    )


def _seams(paintings: Sequence[Painting]) -> Floor:
    held = sum(painting.seamless for painting in paintings)
    return Floor("seams", held / len(paintings), 1.0, f"{held} of {len(paintings)}: {RULE}")


def _better_than_first(paintings: Sequence[Painting]) -> bool:
    votes = sum(p.colour_votes for p in paintings) > sum(p.first_colour_votes for p in paintings)
    colour = fmean(p.parts.main_distance for p in paintings) < fmean(p.first_parts.main_distance for p in paintings)
    fixed = sum(p.parts.n_fixed_right for p in paintings) > sum(p.first_parts.n_fixed_right for p in paintings)
    return votes and colour and fixed


def description(painting: Painting) -> str:
    """One painting in three lines: its views and its two textures."""
    parts, first = painting.parts, painting.first_parts
    seamless = "seamless" if painting.seamless else "SEAMS SHOW"
    return "\n".join(
        [
            f"{painting.prompt:24} {painting.seconds:5.0f} s  colour {painting.colour_votes}/8 (began "
            f"{painting.first_colour_votes}/8)  distance {parts.main_distance:.3f} ({first.main_distance:.3f})  fixed "
            f"{parts.n_fixed_right}/{parts.n_fixed} ({first.n_fixed_right}/{first.n_fixed})",
            f"    baked views    {_texture(painting.baked)}  {seamless}",
            f"    decoded atlas  {_texture(painting.atlas)}  {painting.atlas_shift:.3f} off the baked views",
        ]
    )


def _texture(figures: TextureFigures) -> str:
    parts = figures.parts
    fixed = f"{parts.n_fixed_right:2}/{parts.n_fixed:<2}"
    return f"distance {parts.main_distance:.3f}  fixed {fixed} {_gaps(figures.seams)}"


def _gaps(gaps: SeamGaps) -> str:
    return (
        f" smooth seams {gaps.seams:.4f} inner {gaps.inner:.4f}  creased seams {gaps.creased_seams:.4f}"
        f"  all edges {gaps.all_seams:.4f} inner {gaps.all_inner:.4f}"
    )
