"""Every row of the exit code table in docs/compatibility.md."""

import pytest

from arcane_framework._core.errors import (
    ArcaneError,
    ConfigurationError,
    FatalStreamError,
    FencedError,
    OutcomeUnknownError,
    SchemaInconsistentError,
    SchemaMismatchError,
    TransientStreamError,
)
from arcane_framework.hosting.exit_codes import exit_code


@pytest.mark.parametrize("backfilling", [False, True])
def test_a_stream_that_ends_by_itself_exits_with_0(backfilling: bool) -> None:
    assert exit_code(None, backfilling=backfilling, completed=True) == 0


def test_a_signal_while_streaming_exits_with_0() -> None:
    assert exit_code(None, backfilling=False) == 0


def test_a_signal_in_a_backfill_exits_with_2() -> None:
    assert exit_code(None, backfilling=True) == 2


@pytest.mark.parametrize("backfilling", [False, True])
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SchemaInconsistentError("x"), 2),
        (TransientStreamError("x"), 2),
        (FencedError("x"), 2),
        (OutcomeUnknownError("x"), 2),
        (ConfigurationError("x"), 1),
        (FatalStreamError("x"), 1),
        (ArcaneError("x"), 1),
        (ValueError("x"), 1),
        (MemoryError(), 1),
    ],
)
def test_an_error_exits_with_the_code_of_its_class(error: Exception, code: int, backfilling: bool) -> None:
    assert exit_code(error, backfilling=backfilling) == code


@pytest.mark.parametrize(("reported", "code"), [(True, 0), (False, 2)])
def test_a_schema_mismatch_exits_with_0_only_when_it_was_reported(reported: bool, code: int) -> None:
    assert exit_code(SchemaMismatchError("x"), backfilling=False, mismatch_reported=reported) == code


def test_a_schema_mismatch_counts_as_not_reported_unless_said() -> None:
    assert exit_code(SchemaMismatchError("x"), backfilling=False) == 2


@pytest.mark.parametrize("handled", [0, 1, 2, 7, 255])
@pytest.mark.parametrize("error", [None, ValueError("x"), SchemaMismatchError("x"), TransientStreamError("x")])
def test_the_code_of_the_plugins_own_handler_wins(error: Exception | None, handled: int) -> None:
    assert exit_code(error, backfilling=True, handled=handled) == handled


@pytest.mark.parametrize("handled", [256, 512, -1])
def test_a_code_that_the_operating_system_would_cut_is_a_failure(handled: int) -> None:
    assert exit_code(ValueError("x"), backfilling=False, handled=handled) == 1
