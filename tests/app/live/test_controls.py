"""What visitors ask of a training is done between its steps, and nothing of it ends the training."""

import logging

import pytest

from app.live.controls import MOST_TASKS, Controls


def test_a_task_that_fails_is_logged_and_the_next_one_is_done(caplog: pytest.LogCaptureFixture) -> None:
    controls, done = Controls(), []

    def fail() -> None:
        raise OSError(28, "No space left on device", "/runs/view.png")

    controls.ask(fail)
    controls.ask(lambda: done.append(1))
    with caplog.at_level(logging.WARNING):
        assert not controls.turn(done.append)
    assert done == [1, False]
    (record,) = caplog.records
    assert "No space left" in record.getMessage()
    assert "\n" not in record.getMessage()


def test_more_than_the_training_can_come_to_is_refused() -> None:
    controls = Controls()
    assert all(controls.ask(lambda: None) for _ in range(MOST_TASKS))
    assert not controls.ask(lambda: None)
    controls.do_tasks()
    assert controls.ask(lambda: None)
