"""The way in for programs: runs that leave nothing behind, events, stopping, and one training at a time."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.api import Run, train, untrained_system
from app.events import Event, Exported, Previewed, Started, Stepped, Trained
from app.run import ExportError
from app.stopping import Stop
from core.errors import UserError
from core.part import Choice, find
from tests.app.small_command import EXAMPLE, small_overrides


@pytest.fixture(scope="module")
def overrides(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The example's recipe, made small, its guidance replaced by known pictures."""
    return small_overrides(tmp_path_factory.mktemp("ball"))


def test_the_same_training_twice_in_one_process_gives_the_same_bits(overrides: list[str], tmp_path: Path) -> None:
    """Weights, previews and exports; the first run must leave nothing behind that the second could notice."""
    untouched = torch.get_rng_state()
    first, second = (train(EXAMPLE, "a ball", overrides=overrides, out=tmp_path / name) for name in ("a", "b"))
    for name, values in first.system.state_dict().items():
        assert torch.equal(values, second.system.state_dict()[name]), name
    for path in ("contact_sheet.png", "previews/step-000002.png", "recipe.yaml"):
        assert (first.folder / path).read_bytes() == (second.folder / path).read_bytes(), path
    assert torch.equal(torch.get_rng_state(), untouched)


def test_a_run_says_what_happens_in_its_order(overrides: list[str], tmp_path: Path) -> None:
    events: list[Event] = []
    run = train(EXAMPLE, "a ball", overrides=overrides, out=tmp_path, on_event=events.append)
    assert [type(event) for event in events] == [Started, Stepped, Stepped, Previewed, Stepped, Trained, Exported]
    assert [event.step for event in events if not isinstance(event, Exported)] == [0, 1, 2, 2, 3, 3]
    losses = [event.loss for event in events if isinstance(event, Stepped)]
    assert losses == sorted(losses, reverse=True)
    assert (run.step, run.is_finished) == (3, True)
    assert run.files == (run.folder / "contact_sheet.png",)


def test_a_run_is_stopped_after_its_step_and_goes_on_where_it_was(overrides: list[str], tmp_path: Path) -> None:
    """Stopped and resumed ends in the same weights as a run that was left alone."""
    stop = Stop()

    def stop_after_two(event: Event) -> None:
        if isinstance(event, Stepped) and event.step == 2:
            stop.request()

    halted = train(EXAMPLE, "a ball", overrides=overrides, out=tmp_path, on_event=stop_after_two, stop=stop)
    assert (halted.step, halted.is_finished, halted.files) == (2, False, ())
    resumed = train(EXAMPLE, "a ball", overrides=overrides, out=tmp_path, resume=True)
    assert (resumed.folder, resumed.step) == (halted.folder, 3)
    whole = train(EXAMPLE, "a ball", overrides=overrides, out=tmp_path / "whole")
    for name, values in whole.system.state_dict().items():
        assert torch.equal(values, resumed.system.state_dict()[name]), name


def test_a_run_is_opened_and_looked_at(overrides: list[str], tmp_path: Path) -> None:
    trained = train(EXAMPLE, "a ball", overrides=overrides, out=tmp_path, export=False)
    run = Run.load(trained.folder)
    assert (run.step, run.recipe.prompt) == (3, "a ball")
    views = run.render(run.cameras(2, size=12), with_normals=True)
    assert views.latents.shape == (2, 12, 12, 3)
    assert run.decode(views.latents).shape == (2, 12, 12, 3)
    assert torch.equal(views.latents, trained.render(trained.cameras(2, size=12), with_normals=True).latents)
    assert run.export([Choice.of(find("exporter", "contact-sheet"), n_views=1)]) == [run.folder / "contact_sheet.png"]


def test_a_second_training_in_another_thread_is_refused_and_the_first_goes_on(
    overrides: list[str], tmp_path: Path
) -> None:
    refused: list[str] = []

    def try_too() -> None:
        try:
            train(EXAMPLE, "a ball", overrides=overrides, out=tmp_path / "second")
        except UserError as error:
            refused.append(str(error))

    def meanwhile(event: Event) -> None:
        if isinstance(event, Stepped) and event.step == 1:
            thread = threading.Thread(target=try_too)
            thread.start()
            thread.join(60)

    first = train(EXAMPLE, "a ball", overrides=overrides, out=tmp_path / "first", on_event=meanwhile)
    assert first.step == 3
    assert refused == ["a run is being trained in this process already; wait for it, or train in another process"]
    assert not (tmp_path / "second").exists()
    assert train(EXAMPLE, "a ball", overrides=overrides, out=tmp_path / "third").step == 3, "the way is free again"


def test_a_training_in_a_thread_equals_one_in_the_main_thread(overrides: list[str], tmp_path: Path) -> None:
    """While another thread builds systems, which draw from torch's global stream."""
    made: list[Run] = []
    threads = [
        threading.Thread(
            target=lambda: made.append(train(EXAMPLE, "a ball", overrides=overrides, out=tmp_path / "thread"))
        ),
        *(
            threading.Thread(target=untrained_system, args=(EXAMPLE, "a ball"), kwargs={"overrides": overrides})
            for _ in range(3)
        ),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    alone = train(EXAMPLE, "a ball", overrides=overrides, out=tmp_path / "alone")
    for name, values in alone.system.state_dict().items():
        assert torch.equal(values, made[0].system.state_dict()[name]), name


def test_a_failed_exporter_leaves_the_run_and_what_the_others_wrote(
    overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Any, *_: Any) -> None:
        raise UserError("no room")

    monkeypatch.setattr(find("exporter", "turntable"), "export", fail)
    both = [*overrides, "exporters=[{type: turntable}, {type: contact-sheet}]"]
    with pytest.raises(ExportError, match=r"^turntable: no room$") as caught:
        train(EXAMPLE, "a ball", overrides=both, out=tmp_path)
    assert caught.value.run.is_finished
    assert caught.value.files == (caught.value.run.folder / "contact_sheet.png",)
    monkeypatch.setattr(find("exporter", "turntable"), "export", lambda *_: None)
    with pytest.raises(ExportError, match=r"video\.py:\d+: export of the exporter 'turntable' gave a None") as caught:
        train(EXAMPLE, "a ball", overrides=both, out=tmp_path)
    assert caught.value.files == (caught.value.run.folder / "contact_sheet.png",)


def test_an_untrained_system_is_what_the_first_step_finds(overrides: list[str], tmp_path: Path) -> None:
    begun = untrained_system(EXAMPLE, "a ball", overrides=overrides)
    events: list[Event] = []
    train(EXAMPLE, "a ball", overrides=[*overrides, "trainer.max_steps=1"], out=tmp_path, on_event=events.append)
    output = begun.training_step(0, 0)
    first = next(event.loss for event in events if isinstance(event, Stepped))
    np.testing.assert_allclose(float(output["loss"].detach()), first, rtol=1e-6)
