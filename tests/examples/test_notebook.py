"""The notebook runs from its first cell to its last, and leaves what its text promises."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of jupyter_client, in starting a kernel
def test_the_notebook_trains_looks_and_exports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a project's folder of its own: everything is linked into it but the runs."""
    for entry in ROOT.iterdir():
        if not entry.name.startswith(".") and entry.name not in ("examples", "runs"):
            (tmp_path / entry.name).symlink_to(entry)
    (tmp_path / "examples").mkdir()
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / ".ipython"))
    notebook: Any = nbformat.read(ROOT / "examples" / "notebook.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "kept without outputs"

    NotebookClient(
        notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(tmp_path / "examples")}}
    ).execute()

    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    said = "".join(output["text"] for output in outputs if output["output_type"] == "stream")
    assert "step 100 of 100, loss " in said
    assert [output for output in outputs if "image/png" in output.get("data", {})], "the pictures are shown"
    (run,) = (tmp_path / "runs").iterdir()
    assert {"contact_sheet.png", "mesh.glb", "recipe.yaml", "prompt.txt", "metrics.csv"} <= {
        path.name for path in run.iterdir()
    }
