"""`report`: report.html, a run on one page that needs no network: its object to turn, pictures, curves, figures."""

import base64
import html
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from core.files import write_whole
from core.kinds import Exporter, System
from exporters.curves import Metrics, curves_svg, read_metrics
from exporters.phases import Phases, read_record
from exporters.provenance import provenance
from exporters.stages import earlier_stages

VIEWER = Path(__file__).parent / "viewer"
PAGE = Path(__file__).parent / "report.html"


#: Name, kind and title of what is shown beside the turntable's film.
PICTURES = (
    ("contact_sheet.png", "png", "Contact sheet: colour, opacity, depth, normals"),
    ("progress.png", "png", "One view over the training"),
)


class Report(Exporter, name="report"):
    """report.html, made of what the exporters before it have left in the run's folder; put it last."""

    writes = ("report.html",)

    @dataclass(frozen=True)
    class Config:
        """The report has no settings."""

    def export(self, system: System, run_folder: Path) -> list[Path]:
        """Write the page of what is in the run's folder by now."""
        with Phases("report").phase("page"):
            page = report_page(run_folder, provenance(system))
            path = run_folder / "report.html"
            write_whole(path, page)
        return [path]


def report_page(run_folder: Path, origin: dict[str, Any]) -> str:
    """The page of a run.

    Args:
        origin: as `provenance` gives it.
    """
    metrics, record = read_metrics(run_folder / "metrics.csv"), read_record(run_folder)
    system = origin["system"]
    return Template(PAGE.read_text(encoding="utf-8")).substitute(
        prompt=html.escape(origin["prompt"] or "(no prompt)"),
        subtitle=html.escape(f"{system['type']}, {origin['steps']} steps, seed {origin['seed']}"),
        view=_view(run_folder),
        pictures="\n".join(_pictures(run_folder)),
        stages="\n".join(_stage(stage) for stage in earlier_stages(run_folder)),
        curves=_curves(metrics),
        figures=_table(_figures(record)) or "<p>No mesh has been exported.</p>",
        seconds=_table(_seconds(record, metrics)),
        settings=html.escape(_text(run_folder / "recipe.yaml")),
        versions=_table(origin["versions"]),
        scripts=_scripts(run_folder),
    )


def _stage(folder: Path) -> str:
    """What the report of a later stage tells of an earlier one."""
    record, metrics = read_record(folder), read_metrics(folder / "metrics.csv")
    tables = f"<section>{_table(_figures(record))}</section><section>{_table(_seconds(record, metrics))}</section>"
    seen = f'{"".join(_pictures(folder))}<div class="curves">{_curves(metrics)}</div>'
    return f'<h2>Before: {html.escape(folder.name)}</h2>{seen}<div class="tables">{tables}</div>'


def _curves(metrics: Metrics) -> str:
    losses = {name: values for name, values in metrics.columns.items() if name.startswith("loss")}
    speed = {"steps per second": metrics.columns.get("steps_per_second", [])}
    return curves_svg("Loss", metrics.steps, losses) + curves_svg("Speed", metrics.steps, speed)


def _view(run_folder: Path) -> str:
    if not (run_folder / "mesh.glb").is_file():
        return '<p id="view-note">No mesh.glb in this run: export it with exporter.format=glb to turn it here.</p>'
    return (
        '<canvas id="view" aria-label="The object, to be turned"></canvas>'
        '<p><span id="view-note">Loading the mesh ...</span> '
        '<label><input type="checkbox" id="shade"> shade</label></p>'
    )


def _scripts(run_folder: Path) -> str:
    glb = run_folder / "mesh.glb"
    if not glb.is_file():
        return ""
    licence = _text(VIEWER / "LICENSE-three.txt")
    return (
        f'<script type="text/plain" id="model">{_base64(glb)}</script>\n'
        f"<script>/* With three.js:\n{licence}*/\n{_text(VIEWER / 'viewer.min.js')}</script>"
    )


def _pictures(run_folder: Path) -> list[str]:
    found = []
    if (run_folder / "turntable.mp4").is_file():
        source = f"data:video/mp4;base64,{_base64(run_folder / 'turntable.mp4')}"
        video = f'<video src="{source}" controls loop muted autoplay playsinline></video>'
        found.append(_figure(video, "Turntable: colour, normals, depth"))
    for name, kind, title in PICTURES:
        if (run_folder / name).is_file():
            picture = f'<img src="data:image/{kind};base64,{_base64(run_folder / name)}" alt="{title}">'
            found.append(_figure(picture, title))
    return found


def _figure(content: str, caption: str) -> str:
    return f"<figure>{content}<figcaption>{html.escape(caption)}</figcaption></figure>"


def _figures(record: dict[str, Any]) -> dict[str, Any]:
    figures = next((record[owner].get("figures", {}) for owner in ("mesh", "painted-mesh") if owner in record), {})
    return {name.replace("_", " "): value for name, value in figures.items()}


def _seconds(record: dict[str, Any], metrics: Metrics) -> dict[str, float]:
    parts = {"training": round(metrics.seconds, 1)} if metrics.columns else {}
    for owner, kept in record.items():
        parts |= {f"{owner}: {phase}": value for phase, value in kept.get("seconds", {}).items()}
    return parts


def _table(values: dict[str, Any]) -> str:
    cells = [
        f"<tr><th>{html.escape(str(name))}</th><td>{html.escape(_shown(value))}</td></tr>"
        for name, value in values.items()
    ]
    return f"<table>{''.join(cells)}</table>" if cells else ""


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return " x ".join(map(str, value)) if isinstance(value, list) else str(value)


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode("ascii")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
