"""A run goes on exactly, or the change of its recipe is named; taken with --allow-changed, it takes effect."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from app.api import train
from app.run import Run
from core.errors import UserError
from systems.checkpoint_files import newest_whole, read_checkpoint
from tests.app.children import RECIPE


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two steps of eight."""
    return train(RECIPE, overrides=["trainer.max_steps=2"], out=tmp_path_factory.mktemp("runs"), device="cpu").folder


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "run", symlinks=True))


def resume(folder: Path, *overrides: str, allow_changed: bool = False) -> Run:
    own = folder / "recipe.yaml"
    return train(own, overrides=overrides, resume=folder, allow_changed=allow_changed, device="cpu")


def adam_of(folder: Path) -> list[dict[str, Any]]:
    checkpoint = newest_whole(folder)
    assert checkpoint is not None
    return read_checkpoint(checkpoint)["optimizer_states"][0]["param_groups"]


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("seed=5", "seed: 0 in RUN, 5 here"),
        ("system.geometry.bound=0.9", "system.geometry.bound: 0.6 in RUN, 0.9 here"),
        ("system.geometry.grid_learning_rate=0.5", "system.geometry.grid_learning_rate: 0.01 in RUN, 0.5 here"),
        ("system.optimizer.betas=[0.5, 0.9]", "system.optimizer.betas: [0.9, 0.99] in RUN, [0.5, 0.9] here"),
        ("system.guidance.scale=2", "system.guidance.scale: 1.0 in RUN, 2.0 here"),
        ("system.losses={sds: 2.0}", "system.losses.sds.*: .* in RUN, 2.0 here"),
        ("trainer.gradient_clip=1", "trainer.gradient_clip: None in RUN, 1.0 here"),
    ],
)
def test_what_changes_the_steps_is_refused_side_by_side(copy: Path, override: str, line: str) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in copy.rglob("*"))
    expected = line.replace("[", r"\[").replace("RUN", str(copy))
    with pytest.raises(UserError, match=expected) as caught:
        resume(copy, override, "trainer.max_steps=4")
    assert str(caught.value).splitlines()[-1] == (
        "--resume goes on exactly: leave the changes out, start a new run, or take them with --allow-changed"
    )
    assert sorted((path, path.stat().st_mtime_ns) for path in copy.rglob("*")) == before


def test_what_changes_none_of_them_is_taken(copy: Path) -> None:
    free = ["trainer.max_steps=3", "trainer.preview_every=1", "trainer.checkpoint_every=2", "trainer.logger=[]"]
    assert resume(copy, *free, "exporters=[{type: contact-sheet}]").step == 3
    assert (copy / "contact_sheet.png").exists()


def test_a_change_that_is_allowed_takes_effect(copy: Path) -> None:
    """Adam's state, which a checkpoint brings back, gives way; its moments stay."""
    plain = Path(shutil.copytree(copy, copy.with_name("plain"), symlinks=True))
    changes = ["system.geometry.grid_learning_rate=0.5", "system.optimizer.betas=[0.5, 0.9]"]
    changed = resume(copy, *changes, "trainer.max_steps=3", allow_changed=True)
    same = resume(plain, "trainer.max_steps=3")
    rates = [group["initial_lr"] for group in adam_of(copy)]
    assert 0.5 in rates
    assert 0.5 not in [group["initial_lr"] for group in adam_of(plain)]
    assert all(tuple(group["betas"]) == (0.5, 0.9) for group in adam_of(copy))
    name = next(name for name, _ in same.system.named_parameters() if "grid" in name)
    start = read_checkpoint(copy / "checkpoints" / "step-000002")["state_dict"][name]
    moved, usual = ((each.system.state_dict()[name].cpu() - start).abs().max() for each in (changed, same))
    assert moved > 10 * usual, "fifty times the rate"
    assert "grid_learning_rate: 0.5" in (copy / "recipe.yaml").read_text()
    assert "grid_learning_rate: 0.01" in (copy / "recipe-1.yaml").read_text()


def test_what_can_no_longer_take_effect_is_refused_in_any_case(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="step-000002: does not fit this recipe: size mismatch"):
        resume(copy, "system.geometry.hidden_width=8", allow_changed=True)
    with pytest.raises(UserError, match="--from: a run begins once; leave it out, or start a new run"):
        train(copy / "recipe.yaml", resume=copy, start_from=tmp_path / "other", allow_changed=True, device="cpu")
