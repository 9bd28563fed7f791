"""The manual is built without a warning, its links lead somewhere, and its commands do what it says."""

import html
import importlib.util
import json
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from app.cli import main
from app.describe import settings_of
from app.parts import register_parts
from core.part import find, kinds, names

pytest.importorskip("sphinx", reason="the manual needs requirements-docs.txt")

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BLOCK = re.compile(r"^```bash run\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: What makes a command of the manual small enough for a test, without changing what it is about.
SMALL = (
    "trainer.max_steps=2",
    "trainer.preview_every=0",
    "exporters=[{type: contact-sheet}]",
)
BLOCKS = [(page.name, found[1]) for page in sorted(DOCS.glob("*.md")) for found in BLOCK.finditer(page.read_text())]


class Links(HTMLParser):
    """All that a page refers to, and all places in it that can be referred to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.append(value)
            elif name == "id" and value:
                self.places.add(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built pages."""
    out = tmp_path_factory.mktemp("manual") / "html"
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", str(out.parent / "trees")]
    done = subprocess.run([*command, str(DOCS), str(out)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


def test_every_link_within_the_manual_leads_somewhere_and_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = {page.resolve(): Links(page) for page in site.rglob("*.html")}
    assert len(pages) > 20
    lost = []
    for page, found in pages.items():
        for link in found.links:
            split = urlsplit(link)
            if split.scheme or split.netloc:
                continue
            target = (page.parent / unquote(split.path)).resolve() if split.path else page
            known = target.is_file() and (not split.fragment or target.suffix != ".html" or target not in pages)
            if not known and not (target in pages and split.fragment in pages[target].places):
                lost.append(f"{page.relative_to(site.resolve())}: {link}")
    assert lost == []
    for page in pages:
        loaded = re.findall(r'<(?:script|img|link)[^>]*(?:src|href)="(https?:[^"]*)"', page.read_text(encoding="utf-8"))
        assert loaded == [], page


def test_every_part_and_every_setting_is_in_the_manual(site: Path) -> None:
    register_parts()
    for kind in (kind for kind in kinds() if not kind.startswith("test-")):  # other tests define kinds of their own
        text = (site / "parts" / f"{kind}.html").read_text(encoding="utf-8")
        for name in names(kind):
            part = find(kind, name)
            if part.__module__.split(".")[0] in ("geometry", "guidance", "renderers", "systems", "exporters"):
                assert f"<h2>{name}<" in text, f"{kind} {name}"
                assert all(f">{row.path}<" in text for row in settings_of(part.Config)), name


def test_every_measured_floor_is_in_the_manual_with_its_outcome(site: Path) -> None:
    text = html.unescape((site / "figures.html").read_text(encoding="utf-8"))
    files = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
    for floor in (floor for file in files for floor in json.loads(file.read_text())["floors"]):
        assert f"<p>{floor['text']}</p>" in text, floor["name"]
    for words in ("benchmarks.quality --config configs/latent-nerf.yaml --seeds 1,2,3", "system.geometry.backend=auto"):
        assert words in re.sub("</?span[^>]*>", "", text), "a command says what its figures were made with"
    for command in re.findall(r"python -m (benchmarks\.\w+)", text):
        assert importlib.util.find_spec(command) is not None, command


def test_equations_are_drawn_by_the_browser_itself(site: Path) -> None:
    text = (site / "methods.html").read_text(encoding="utf-8")
    assert text.count("<math") > 10
    assert "MathJax" not in text


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This project as somebody has it who begins: without runs."""
    for entry in ROOT.iterdir():
        if not entry.name.startswith(".") and entry.name != "runs":
            (tmp_path / entry.name).symlink_to(entry)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("page", "block"), BLOCKS, ids=[f"{page}-{i}" for i, (page, _) in enumerate(BLOCKS)])
def test_commands_that_are_marked_to_be_run_run(page: str, block: str, project: Path) -> None:
    for line in block.strip().splitlines():
        words = shlex.split(line, comments=True)
        assert words[:2] == ["python", "launch.py"], f"{page}: {line}"
        settings = SMALL if "--config" in words else ()
        assert main([*words[2:], *settings]) == 0, f"{page}: {line}"


def test_the_marks_are_there() -> None:
    assert len(BLOCKS) >= 8
    assert {"start.md", "your-mesh.md", "sketches.md", "adding-a-part.md"} <= {page for page, _ in BLOCKS}


@pytest.mark.parametrize("name", ["cpu", "cuda"])
def test_containers_pass_the_linter_and_are_not_run_by_root(name: str) -> None:
    """`docker build -f docker/cpu.Dockerfile .` needs docker and a network; this needs neither."""
    path, linter = ROOT / "docker" / f"{name}.Dockerfile", Path(sys.executable).with_name("hadolint")
    if not linter.is_file():
        pytest.skip("hadolint is not installed: requirements-dev.txt")
    linted = subprocess.run([linter, "--no-color", path], capture_output=True, text=True, check=False)
    assert (linted.stdout, linted.returncode) == ("", 0)
    text = path.read_text()
    assert re.search(r"^FROM [\w./-]+:\d+\.\d+\.\d+[\w.-]*$", text, re.MULTILINE), "an image with its whole version"
    (user,) = re.findall(r"^USER (\d+)$", text, re.MULTILINE)
    assert int(user) > 0
    assert f"--uid {user} " in text
    assert ".venv" in (ROOT / ".dockerignore").read_text().split()
