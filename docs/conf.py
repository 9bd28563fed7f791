"""The manual's build: `python -m sphinx -W --keep-going docs docs/_build`, static pages that need no network.

Why Sphinx with furo: it has been kept for seventeen years, and what does not resolve (a link, a file, a reference) is a
warning, which `-W` makes an error; zensical is at 0.0. Equations become MathML, which browsers draw by themselves.
"""

import re
import sys
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from docs.generated import GENERATED  # noqa: E402

project = "Latent-NeRF: text to 3D, and textures for your meshes"
extensions = ["myst_parser"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
smartquotes = False  # it would make one dash of the two that options begin with
html_theme = "furo"
html_title = project
html_copy_source = False
html_show_copyright = False
html_math_renderer = "mathml"
exclude_patterns = ["_build"]
#: `run` behind `bash` marks a block whose commands the tests run; it is no language.
_MARK = re.compile(r"^```bash run$", re.MULTILINE)
#: <!-- generated: parts guidance --> is replaced by what the code says.
_GENERATED = re.compile(r"^<!-- generated: (\w+) ?(\S*) -->$", re.MULTILINE)


def fill_in(app: Any, name: str, source: list[str]) -> None:
    """Put the code's own words where a page asks for them."""
    text = _MARK.sub("```bash", source[0])
    source[0] = _GENERATED.sub(lambda asked: GENERATED[asked[1]](asked[2]), text)


def visit_math(self: Any, node: Any) -> None:
    """An equation as MathML."""
    from docutils import nodes

    display = "block" if isinstance(node, nodes.math_block) else "inline"
    self.body.append(convert(node.astext(), display=display))
    raise nodes.SkipNode


def setup(app: Any) -> None:
    """What Sphinx calls."""
    app.connect("source-read", fill_in)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math, None))
