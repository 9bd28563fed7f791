"""Errors that the user can mend."""

import pytest

from core.errors import DivergedError, MachineError, UserError, did_you_mean, gathering, nearest_word, require


@pytest.mark.parametrize(
    ("word", "nearest"),
    [("n_levls", "n_levels"), ("N_Levels", "n_levels"), ("tablesize", "table_size"), ("colour", None)],
)
def test_nearest_word_finds_misspellings_and_leaves_strangers(word: str, nearest: str | None) -> None:
    assert nearest_word(word, ["n_levels", "table_size", "bound"]) == nearest


def test_did_you_mean_lists_everything_when_nothing_is_similar() -> None:
    assert did_you_mean("n_levls", ["n_levels", "bound"]) == "Did you mean 'n_levels'?"
    assert did_you_mean("colour", ["n_levels", "bound"]) == "Valid: bound, n_levels."
    assert did_you_mean("colour", []) == "None is valid here."


def test_require_raises_the_message_with_the_exit_code_of_bad_input() -> None:
    require(True, "never said")
    with pytest.raises(UserError, match=r"^bound: above 0, got -1$") as caught:
        require(False, "bound: above 0, got -1")
    assert caught.value.exit_code == 2


def test_each_kind_of_error_has_its_exit_code() -> None:
    assert [kind("x").exit_code for kind in (UserError, MachineError, DivergedError)] == [2, 3, 4]


def test_faults_are_gathered_within_the_block_and_raised_after_it() -> None:
    with gathering() as outer:
        require(False, "a: first")
        with gathering() as inner:
            require(False, "b: within")
        require(False, "c: last")
    assert (outer, inner) == (["a: first", "c: last"], ["b: within"])
    with pytest.raises(UserError, match=r"^d: outside$"):
        require(False, "d: outside")
