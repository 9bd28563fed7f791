"""Public lists of prompts: what is read of them, and where their own code looks for the meshes."""

import json
from pathlib import Path

import pytest

from benchmarks.prompt_lists import folder_name, main, place, read_prompts


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("prompt_single.txt", "A red mug\n\nA cat's hat\nA red mug\n"),
        ("list.json", json.dumps({"1": {"prompt": "A red mug", "kind": "basic"}, "2": {"prompt": "A cat's hat"}})),
        ("names.json", json.dumps(["A red mug", "A cat's hat"])),
        ("groups.json", json.dumps({"basic": ["A red mug"], "refined": ["A cat's hat"]})),
    ],
)
def test_each_prompt_is_read_once_in_its_order(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert read_prompts(tmp_path / name) == ["A red mug", "A cat's hat"]


def test_meshes_lie_where_the_lists_code_looks() -> None:
    """HyperScore's README and T3Bench's run_eval_quality.py, whose pattern is {prompt}*/save/it*-export/model.obj."""
    assert place("mate-3d", "prompt_MATE_3D", "A canned Coke") == Path("latentnerf/A_canned_Coke")
    assert place("t3bench", "prompt_single", "A cat's hat").match("latentnerf_single/A_cat's_hat*/save/it*-export")
    assert folder_name('A "quoted" a/b.') == "A_quoted_ab"


def test_a_list_that_is_none_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(tmp_path / "no.txt"), "--config", "a.yaml", "--out", str(tmp_path / "out")]
    assert main(words) == 2
    assert "no readable list of prompts" in capsys.readouterr().err
