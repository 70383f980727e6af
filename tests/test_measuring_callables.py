"""Callables of the program that settings name."""

import pytest

from django_memsize.measuring.callables import ProgramCallable


def answering(given):
    if given == "raise":
        raise ValueError("secret")
    return given


def is_int(answer):
    return type(answer) is int


def asked(given, path=f"{__name__}.answering"):
    return ProgramCallable("SAMPLE", "no number").answer(path, given, is_int)


def test_the_answer_of_a_callable_is_returned():
    assert asked(7) == 7
    assert asked(None) is None


def test_a_callable_that_is_not_there_answers_nothing(caplog):
    assert asked(7, "no.such.callable") is None
    assert "the callable of SAMPLE (no.such.callable) failed: ModuleNotFoundError" in caplog.text


@pytest.mark.parametrize("given", ["raise", "secret"])
def test_the_message_of_an_exception_and_a_wrong_answer_are_not_logged(given, caplog):
    assert asked(given) is None

    (record,) = caplog.records
    assert "secret" not in record.getMessage()
    assert record.exc_info is None
    assert f"the callable of SAMPLE ({__name__}.answering)" in record.getMessage()
    if given == "raise":
        line = answering.__code__.co_firstlineno + 2
        assert record.getMessage().endswith(f"ValueError in {__file__}, line {line}")
    else:
        assert record.getMessage().endswith("returned no number")


def test_a_failure_is_logged_once_a_minute(caplog):
    callable_of_program = ProgramCallable("SAMPLE", "no number")
    for _ in range(3):
        callable_of_program.answer(f"{__name__}.answering", "raise", is_int)

    assert len(caplog.records) == 1


def test_an_exit_passes():
    with pytest.raises(SystemExit):
        asked(None, f"{__name__}.leaving")


def leaving(given):
    raise SystemExit
