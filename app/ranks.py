"""Several processes train one object: each has a part of every step's views, and Lightning averages gradients.

Rank 0 is the process that was asked to train. It alone writes, shows, listens and decides. It starts the others, which
build the same system and make the same steps, and which end with it, however it ends. Where one of them is lost, rank 0
saves the steps that were whole.
"""

import logging
import os
import pickle
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning import Callback, Trainer
from torch import distributed

from app.building import ready_system
from app.divided_views import joined
from app.live.edits import Edits, Steering
from app.machine import Device
from app.parts import PackedRecipe, packed_recipe, unpacked_recipe
from app.plan import Plan, Request, make_plan
from app.process import ENDING, python_path
from app.run import Run
from app.run_folder import TrainedRun
from app.stopping import Stop
from app.training import Ending, fit, make_trainer
from core.chance import ALONE, Rank
from core.errors import MachineError, UserError
from core.failures import told
from exporters.stages import enclosing_run
from systems.base import LightningSystem
from systems.callbacks import MetricsLog
from systems.finite_steps import FiniteSteps

#: How long a rank may take to import everything and to build its system, in seconds.
READY_S = 900.0
#: How long a process may take to be gone whose connection has ended, in seconds.
GONE_S = 5.0
READY = b"ready\n"


@dataclass(frozen=True)
class _Work:
    """What a rank is given."""

    rank: Rank
    meeting: Path
    recipe: PackedRecipe
    folder: Path
    """Of the run: it is read, nothing is written there."""
    checkpoint: Path | None
    device: Device
    n_threads: int
    n_returns: int
    """As of FiniteSteps."""


def fit_together(
    plan: Plan, run: Run, checkpoint: Path | None, callbacks: Sequence[Callback], n_returns: int, stop: Stop
) -> Trainer:
    """Train to the end of the recipe or until `stop` is requested, by as many processes as `trainer.devices` says.

    Args:
        checkpoint: what the training goes on from.
        n_returns: how often it has gone back to a checkpoint.

    Raises:
        UserError: the views of a step cannot be divided among so many.
        MachineError: a rank could not begin, or was lost.
        BaseException: as of `fit`.
    """
    with _ranks(plan, run, checkpoint, n_returns) as rank:
        trainer = make_trainer(run.recipe.trainer, plan.device, run.folder, callbacks, rank)
        fit(trainer, run.system, checkpoint, stop)
        return trainer


@contextmanager
def _ranks(plan: Plan, run: Run, checkpoint: Path | None, n_returns: int) -> Iterator[Rank]:
    """Within this block, all other ranks are ready to make the steps of a run together with this one."""
    n_ranks, n_threads = run.recipe.trainer.devices, torch.get_num_threads()
    if n_ranks == 1:
        yield ALONE
        return
    check_divisible(run.system, n_ranks)
    helpers: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="ranks-") as place:
        meeting, recipe, own_threads = Path(place) / "meeting", packed_recipe(run.recipe), max(1, n_threads // n_ranks)
        try:
            for number in range(1, n_ranks):
                rest = recipe, run.folder.resolve(), checkpoint, plan.device, own_threads, n_returns
                helpers.append(_started(_Work(Rank(number, n_ranks), meeting, *rest)))
            for helper in helpers:
                _wait_until_ready(helper, helpers)
            run.system.rank = Rank(0, n_ranks)
            torch.set_num_threads(own_threads)
            with joined(run.system.rank, meeting, plan.device):
                yield run.system.rank
        except RuntimeError as error:
            if _is_of_a_connection(error) and (line := _loss(helpers)):
                go_on = f"python launch.py --resume {enclosing_run(run.folder)}"
                raise MachineError(f"{line}; what was trained is saved. Go on with: {go_on}") from error
            raise
        finally:
            run.system.rank = ALONE
            torch.set_num_threads(n_threads)
            for helper in helpers:
                helper.kill()
                helper.communicate()


def _is_of_a_connection(error: RuntimeError) -> bool:
    """Whether an error is what a rank's end looks like from another one; torch has no class for it."""
    return isinstance(error, distributed.DistError) or "gloo" in str(error) or "NCCL" in str(error)


def check_divisible(system: LightningSystem, n_ranks: int) -> None:
    """Refuse to divide what cannot be divided.

    Raises:
        UserError: a method without views, or views of which ranks would have unequal numbers, or parts of an object's.
    """
    if not system.divides_views:
        raise UserError(f"trainer.devices: '{system.part_name}' renders no views that could be divided; leave it out")
    n_views, n_together = system.views.n_views, system.views.n_together
    if n_views % (n_ranks * n_together):
        sets = f" in sets of {n_together} that stay together" if n_together > 1 else ""
        raise UserError(
            f"trainer.devices: the {n_views} views of a step{sets} cannot be divided among {n_ranks} processes equally"
        )


def _started(work: _Work) -> "subprocess.Popen[bytes]":
    environment = {
        "OMP_WAIT_POLICY": "passive",
        **os.environ,
        "PYTHONPATH": python_path(),
        "OMP_NUM_THREADS": str(work.n_threads),
    }
    words = [sys.executable, "-c", "from app.ranks import follow; follow()"]
    helper = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    assert helper.stdin is not None
    try:
        pickle.dump(work, helper.stdin)
        helper.stdin.flush()  # it stays open: its end is this process's
    except BrokenPipeError:
        pass  # the rank has gone, which shows when it is waited for
    return helper


def _wait_until_ready(helper: "subprocess.Popen[bytes]", helpers: Sequence["subprocess.Popen[bytes]"]) -> None:
    assert helper.stdout is not None
    can_be_read, _, _ = select.select([helper.stdout], [], [], READY_S)
    if not can_be_read:
        raise MachineError(f"trainer.devices: a process was not ready after {READY_S:g} s")
    if helper.stdout.peek() != READY:  # pyright: ignore[reportAttributeAccessIssue]
        raise MachineError(_loss(helpers) or "trainer.devices: a process could not begin")
    helper.stdout.readline()


def _loss(helpers: Sequence["subprocess.Popen[bytes]"]) -> str:
    """Which of the processes has gone, and of what; empty where all are there."""
    deadline = time.monotonic() + GONE_S
    while time.monotonic() < deadline:
        for number, helper in enumerate(helpers, start=1):
            if code := helper.poll():
                said = helper.stdout.read().decode("utf-8", "replace").strip() if helper.stdout else ""
                what = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"has failed: {said}"
                return f"process {number + 1} of the {len(helpers) + 1} that train this object {what}"
        time.sleep(0.05)
    return ""


def follow() -> None:
    """The life of a rank that is not the first: the same steps, until the first one ends."""
    work: _Work = pickle.load(sys.stdin.buffer)
    answer = os.dup(1)
    os.dup2(2, 1)  # what libraries print is no answer
    for each in ENDING:
        signal.signal(each, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; rank 0 decides
    threading.Thread(target=_end_with_the_first, daemon=True).start()
    logging.basicConfig(level=logging.ERROR)
    warnings.simplefilter("ignore")
    try:
        torch.set_num_threads(work.n_threads)
        if work.device == "cuda":
            torch.cuda.set_device(work.rank.number)
        system = _system(work)
        os.write(answer, READY)
        with joined(work.rank, work.meeting, work.device):
            _follow(work, system)
            threading.Event().wait()  # until rank 0, which may be in the middle of a sum still, ends it
    except Exception as error:
        os.write(answer, str(told(error)).encode())
        os._exit(1)


def _end_with_the_first() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def _system(work: _Work) -> LightningSystem:
    """What rank 0 has built, built again."""
    recipe = unpacked_recipe(work.recipe)
    run = TrainedRun(work.folder, work.checkpoint) if work.checkpoint else None
    begins_with = None
    if run is None and recipe.start_from is not None:  # rank 0 has been told to trust it
        begins_with = make_plan(Request(run=recipe.start_from, trained=True, device=work.device, trust=True))
    plan = Plan(recipe, run, begins_with, work.folder.parent, work.device, recipe.trainer.precision)
    system, _ = ready_system(plan)
    system.rank = work.rank
    return system


def _follow(work: _Work, system: LightningSystem) -> None:
    """What ranks have to do alike: skip steps, make changes that were written down, add up for the log."""
    finite = FiniteSteps()
    finite.n_returns = work.n_returns
    callbacks = [finite, MetricsLog(work.folder, ()), Edits(work.folder, Steering()), Ending(Stop())]
    config = unpacked_recipe(work.recipe).trainer
    fit(make_trainer(config, work.device, work.folder, callbacks, work.rank), system, work.checkpoint, Stop())
