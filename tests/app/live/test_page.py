"""The page of a real training, in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.app.live.live_command import Command, figures, launched, object_pixels, press, step_of, until
from tests.app.small_command import ball_command, runs
from tests.chromium import chromium_page, find_chromium

pytest.importorskip("viser", reason="the live page needs requirements-live.txt")
BROWSER = find_chromium()
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium here")


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """A training of a ball that would take hours, waiting for its first visitor."""
    folder = tmp_path_factory.mktemp("live")
    arguments = [*ball_command(folder), "--prompt", "a ball", "trainer.max_steps=1000000", "trainer.preview_every=0"]
    with launched([*arguments, "--live", "--live-paused"], folder) as command:
        yield command


def test_a_visitor_watches_a_training_turns_the_object_and_stops_it(command: Command) -> None:
    assert BROWSER is not None
    with chromium_page(BROWSER, command.address()) as page:
        until(lambda: "paused" in figures(page), "the training waits for somebody to start it")
        assert step_of(page) == 0
        press(page, "One step")
        until(lambda: step_of(page) == 1, "one step is made")
        press(page, "Go on")
        until(lambda: step_of(page) > 30, "the training goes on")
        press(page, "Pause")
        until(lambda: "paused" in figures(page), "the training is paused")
        stood = step_of(page)

        until(lambda: object_pixels(page).var() > 100, "the canvas shows an object, not one flat colour")
        before = object_pixels(page)
        page.drag("canvas", -200)
        until(lambda: np.abs(object_pixels(page) - before).mean() > 1, "another side of it is seen")

        assert step_of(page) == stood, "a paused training makes no step"
        press(page, "Stop")
        until(lambda: "stopped" in figures(page), "the training has ended")
        assert page.faults == []
    (run,) = runs([*ball_command(Path(command.log.parent))])
    assert (run / "checkpoints" / "last.ckpt").is_file()
    assert command.interrupt() == 0, "the page stays until Ctrl-C"
