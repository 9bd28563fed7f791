"""When a training is saved, and that it goes on from there bit for bit, also where a step was broken off."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from core.errors import MachineError
from systems.checkpoint_files import CHECKPOINT, checkpoints_of, newest_whole
from systems.checkpoints import Checkpoints
from tests.systems.small_systems import fitting_system, quiet_trainer


class At(Callback):
    """Does something in the middle of a step."""

    def __init__(self, step: int, action: Any) -> None:
        self.step, self.action = step, action

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step == self.step:
            self.action()


def trained(steps: int, *callbacks: Callback, resume: Path | None = None) -> dict[str, Tensor]:
    system = fitting_system(6)
    quiet_trainer(steps, callbacks).fit(system, ckpt_path=resume, weights_only=True)
    return system.state_dict()


def names(run: Path) -> list[str]:
    return [path.name for path in checkpoints_of(run)]


def test_the_first_before_any_step_then_every_so_many_and_the_last_two_stay(tmp_path: Path) -> None:
    seen: list[list[str]] = []
    watch = [At(step, lambda: seen.append(names(tmp_path))) for step in range(6)]
    trained(6, Checkpoints(tmp_path, 2), *watch)
    first, second, third, last = (f"step-00000{n}" for n in (0, 2, 4, 6))
    assert seen == [[first], [first], [second, first], [second, first], [third, second], [third, second]]
    assert names(tmp_path) == [last, third]


def test_by_the_clock_and_when_asked_to(tmp_path: Path) -> None:
    saver = Checkpoints(tmp_path, 0)
    seen: list[list[str]] = []
    trained(4, saver, At(1, saver.ask), At(3, lambda: seen.append(names(tmp_path))))
    assert seen == [["step-000002", "step-000000"]]
    often = Checkpoints(tmp_path / "often", 0, minutes=1e-9)
    (tmp_path / "often").mkdir()
    trained(3, often, At(2, lambda: seen.append(names(tmp_path / "often"))))
    assert seen[-1] == ["step-000002", "step-000001"]


def test_going_on_with_another_number_of_threads_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trained(2, Checkpoints(tmp_path, 0))
    n_threads = torch.get_num_threads()
    try:
        for n, told in ((n_threads, False), (n_threads + 1, True)):
            torch.set_num_threads(n)
            caplog.clear()
            (tmp_path / str(n)).mkdir()
            trained(3, Checkpoints(tmp_path / str(n), 0), resume=tmp_path / CHECKPOINT)
            assert (f"CPU threads: {n_threads} until now, {n} from now on" in caplog.text) is told
    finally:
        torch.set_num_threads(n_threads)


def _fail() -> None:
    raise RuntimeError("in mid-step")


def test_a_step_that_is_broken_off_is_not_half_saved(tmp_path: Path) -> None:
    """Its occupancy grid was refreshed already, at step 4; what is saved is the state after step 4, bit for bit."""
    whole = trained(6)
    with pytest.raises(RuntimeError, match="in mid-step"):
        trained(6, Checkpoints(tmp_path, 0), At(4, _fail))
    assert names(tmp_path) == ["step-000004", "step-000000"]
    resumed = trained(6, resume=tmp_path / CHECKPOINT)
    for name, values in whole.items():
        assert torch.equal(values, resumed[name]), name


def test_of_the_buffers_only_what_a_checkpoint_keeps_is_remembered_at_each_step(tmp_path: Path) -> None:
    """A sketch's tables and a mesh's faces are large, and no step changes them."""
    system, saver = fitting_system(2), Checkpoints(tmp_path, 0)
    system.geometry.register_buffer("table", torch.zeros(8), persistent=False)
    seen: list[set[str]] = []
    quiet_trainer(2, [saver, At(1, lambda: seen.append(set(saver._buffers)))]).fit(system)
    kept = {name for name, _ in system.named_buffers() if name in system.state_dict()}
    assert seen == [kept]
    assert "renderer.occupancy.density" in kept
    assert "geometry.table" not in kept


def test_going_on_from_the_first_checkpoint_is_beginning(tmp_path: Path) -> None:
    whole = trained(3)
    with pytest.raises(RuntimeError, match="in mid-step"):
        trained(3, Checkpoints(tmp_path, 0), At(0, _fail))
    assert names(tmp_path) == ["step-000000"]
    resumed = trained(3, resume=tmp_path / CHECKPOINT)
    for name, values in whole.items():
        assert torch.equal(values, resumed[name]), name


def test_nothing_is_saved_while_the_optimiser_is_at_work(tmp_path: Path) -> None:
    class Failing(Callback):
        def on_before_zero_grad(self, *_: Any) -> None:
            """Before the gradients of a step."""

        def on_before_optimizer_step(self, trainer: Trainer, *_: Any) -> None:
            if trainer.global_step == 2:
                _fail()

    with pytest.raises(RuntimeError, match="in mid-step"):
        trained(6, Checkpoints(tmp_path, 0), Failing())
    assert names(tmp_path) == ["step-000000"]


def test_a_broken_checkpoint_never_pushes_out_a_good_one(tmp_path: Path) -> None:
    trained(4, Checkpoints(tmp_path, 2))
    (checkpoints_of(tmp_path)[0] / "SHA256SUMS").write_text("")
    good = newest_whole(tmp_path)
    assert good is not None
    assert good.name == "step-000002"
    trained(3, Checkpoints(tmp_path, 0), resume=good)
    assert names(tmp_path) == ["step-000003", "step-000002"]


@pytest.mark.fault("the run's folder is removed while it is trained", "the training ends with exit code 3, not as done")
@pytest.mark.parametrize("comes_back", [False, True])
def test_a_folder_that_vanishes(tmp_path: Path, comes_back: bool) -> None:
    run = tmp_path / "run"
    run.mkdir()

    def vanish() -> None:
        shutil.rmtree(run)
        if comes_back:
            (tmp_path / "in-between").mkdir()  # lest the new one gets the old one's number
            run.mkdir()

    with pytest.raises(MachineError, match="run: the run's folder has been removed") as caught:
        trained(6, Checkpoints(run, 0), At(1, vanish))
    assert caught.value.exit_code == 3
    assert list(tmp_path.glob("run/*")) == []
