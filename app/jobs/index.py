"""index.html: all jobs of a folder on one page that needs no network; made of the jobs' folders alone."""

import html
from collections import Counter
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

from app.jobs.folder import JOB, THUMBNAIL, Record, jobs_in, read_object, read_record
from core.errors import UserError
from core.files import write_whole

INDEX = "index.html"
PAGE = Path(__file__).parent / INDEX
COLUMNS = ("row", "prompt", "status", "seconds", "memory, GiB", "figures", "report")
#: What a job shows that has not been finished, and no thumbnail.
UNFINISHED = "unfinished"


def write_index(out: Path) -> Path:
    """Make the page of a folder of jobs.

    Raises:
        UserError: there are none in it.
    """
    folders = jobs_in(out)
    if not folders:
        raise UserError(f"{out}: holds no jobs; --jobs-index takes the folder that --jobs has written to (--out)")
    records = [(folder, read_record(folder)) for folder in folders]
    counts = Counter(record.status if record else UNFINISHED for _, record in records)
    page = Template(PAGE.read_text(encoding="utf-8")).substitute(
        title=html.escape(out.resolve().name),
        counts=f"{len(folders)} objects: " + ", ".join(f"{n} {status}" for status, n in counts.most_common()),
        statuses="".join(f"<option>{status}</option>" for status in sorted(counts)),
        headers="".join(f'<th scope="col"><button type="button">{name}</button></th>' for name in COLUMNS),
        rows="\n".join(_row(folder, record) for folder, record in records),
    )
    path = out / INDEX
    write_whole(path, page)
    return path


def _row(folder: Path, record: Record | None) -> str:
    job = read_object(folder / JOB)
    status = record.status if record else UNFINISHED
    whole = record.seconds.get("whole", "") if record else ""
    memory = record.peak_memory_gib if record else ""
    error = f'<div class="error">{html.escape(record.error)}</div>' if record and record.error else ""
    prompt = html.escape(str(job.get("prompt") or (record.prompt if record else "")))
    cells = [
        f"<td>{_thumbnail(folder)}</td>",
        f'<td class="number">{html.escape(str(job.get("row", "")))}</td>',
        f'<td class="prompt" data-key="{prompt}">{prompt}<br><small>{html.escape(folder.name)}</small>{error}</td>',
        f'<td><span class="status {status}">{status}</span></td>',
        f'<td class="number" data-key="{whole}">{_shown(whole)}</td>',
        f'<td class="number" data-key="{memory}">{_shown(memory)}</td>',
        f'<td class="figures">{_figures(record)}</td>',
        f"<td>{_link(folder)}</td>",
    ]
    return f'<tr data-status="{status}">{"".join(cells)}</tr>'


def _thumbnail(folder: Path) -> str:
    """The job's small picture, else its last preview; loaded when it comes into view."""
    previews = sorted((folder / "previews").glob("step-*.png"))
    path = next((path for path in (folder / THUMBNAIL, *previews[-1:]) if path.is_file()), None)
    if path is None:
        return ""
    return f'<img loading="lazy" width="96" height="96" src="{_address(path, folder)}" alt="">'


def _link(folder: Path) -> str:
    report = folder / "report.html"
    path, text = (report, "report") if report.is_file() else (folder, "folder")
    return f'<a href="{_address(path, folder)}">{text}</a>'


def _address(path: Path, folder: Path) -> str:
    """A path relative to the page."""
    return html.escape(quote("./" + path.relative_to(folder.parent).as_posix()))


def _figures(record: Record | None) -> str:
    figures = record.figures if record else {}
    return html.escape(", ".join(f"{name.replace('_', ' ')} {_shown(value)}" for name, value in figures.items()))


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
