"""Paging sequences, as tables."""

import json
from typing import Any

import pytest

from arcane_framework import ConfigurationError, FatalStreamError
from arcane_framework.sources.rest import CounterPager, OffsetPager, Pager, TokenPager
from arcane_framework.sources.rest.pagers import ResolverType, make_pager

COUNTER = CounterPager(("TotalPages",))
OFFSET = OffsetPager(("items",), 3)
TOKEN = TokenPager(("next",))
MISSING = object()


def following(pager: Pager, pointer: int | str, value: Any, *, has_rows: bool = True) -> int | str | None:
    found = None if value is MISSING else json.dumps(value).encode()
    return pager.after(pointer, found, has_rows=has_rows, total=pager.total(found))


def sequence(pager: Pager, values: list[Any]) -> list[int | str]:
    """The pages that are asked for when each response says the next of `values`."""
    asked = [pager.first()]
    for value in values:
        pointer = following(pager, asked[-1], value)
        if pointer is None:
            return asked
        asked.append(pointer)
    raise AssertionError(f"asked for more pages than there are responses: {asked}")


@pytest.mark.parametrize(
    ("pager", "values", "asked"),
    [
        (COUNTER, [3, 3, 3], [1, 2, 3]),
        (COUNTER, [1], [1]),
        (COUNTER, [0], [1]),
        (COUNTER, [-1], [1]),
        (COUNTER, ["2", "2"], [1, 2]),
        (COUNTER, [2.0, 2], [1, 2]),
        # The latest response is believed: totals grow and shrink while a window is read.
        (COUNTER, [1 + 1, 3, 3], [1, 2, 3]),
        (COUNTER, [3, 2], [1, 2]),
        (OFFSET, [[1, 2, 3], [1, 2, 3], []], [0, 3, 6]),
        # The step is not the size of a page: a short page is not the last one.
        (OFFSET, [[1], [2], []], [0, 3, 6]),
        (OffsetPager(("items",), 1, 1), [[1, 2], [3], []], [1, 2, 3]),
        (OffsetPager(("items",), 100, 50), [[1], []], [50, 150]),
        (OffsetPager((), 2), [[{}], []], [0, 2]),
        (TOKEN, ["a", "b", None], ["", "a", "b"]),
        (TOKEN, ["a", ""], ["", "a"]),
        (TOKEN, [False], [""]),
        (TOKEN, [7, 12345678901234567890, None], ["", "7", "12345678901234567890"]),
        (TOKEN, [1.50, None], ["", "1.5"]),
        (TOKEN, ["https://api.example/items?page=2", None], ["", "https://api.example/items?page=2"]),
    ],
)
def test_pages_follow_each_other_as_the_responses_say(pager: Pager, values: list[Any], asked: list[int | str]) -> None:
    assert sequence(pager, values) == asked


@pytest.mark.parametrize(("page", "following"), [(1, 2), (2, 3), (3, None)])
@pytest.mark.parametrize("has_rows", [True, False])
@pytest.mark.parametrize("found", [None, b"null"])
def test_a_total_that_only_an_earlier_response_has_said_still_holds(
    page: int, following: int | None, has_rows: bool, found: bytes | None
) -> None:
    assert COUNTER.after(page, found, has_rows=has_rows, total=3) == following


@pytest.mark.parametrize("pager", [COUNTER, OFFSET, TOKEN])
@pytest.mark.parametrize("value", [MISSING, None])
def test_a_response_without_page_information_and_without_rows_ends_the_window(pager: Pager, value: Any) -> None:
    assert following(pager, pager.first(), value, has_rows=False) is None


@pytest.mark.parametrize("value", [MISSING, None])
def test_a_missing_token_ends_the_window_behind_the_rows(value: Any) -> None:
    assert following(TOKEN, "a", value) is None


@pytest.mark.parametrize(
    ("pager", "value", "message"),
    [
        (
            COUNTER,
            value,
            "TotalPages, the number of pages by resolverPropertyKeyChain, is not a whole number: correct the key chain",
        )
        for value in (MISSING, None, "many", 2.5, True, [3], {"n": 3})
    ]
    + [
        (
            OFFSET,
            value,
            "items, the array of rows by resolverPropertyKeyChain, is not an array: correct the key chain",
        )
        for value in (MISSING, None, "many", 2, True, {"n": 3})
    ]
    + [
        (
            TOKEN,
            value,
            "next, the next page's token by resolverPropertyKeyChain, is not a text, a number or null: "
            "correct the key chain",
        )
        for value in (True, ["a"], {"href": "a"})
    ],
)
def test_page_information_of_the_wrong_kind_is_an_error_and_no_silent_end(
    pager: Pager, value: Any, message: str
) -> None:
    with pytest.raises(FatalStreamError) as error:
        following(pager, pager.first() or "x", value)
    assert str(error.value) == message


def test_the_token_that_was_just_used_is_not_used_again() -> None:
    with pytest.raises(FatalStreamError) as error:
        following(TOKEN, "a", "a")
    assert str(error.value) == (
        "next holds the token that this page was asked for with: reading on would never end. "
        "Correct resolverPropertyKeyChain, or the API"
    )


@pytest.mark.parametrize(
    ("arguments", "pager"),
    [
        ((ResolverType.COUNTER, ["a", "b"], None, None), CounterPager(("a", "b"))),
        ((ResolverType.OFFSET, ["a"], 5, None), OffsetPager(("a",), 5, 0)),
        ((ResolverType.OFFSET, [], 5, 2), OffsetPager((), 5, 2)),
        ((ResolverType.TOKEN, ["a"], 5, 2), TokenPager(("a",))),
    ],
)
def test_a_spec_chooses_the_pager(arguments: tuple[Any, ...], pager: Pager) -> None:
    assert make_pager(*arguments) == pager


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (ResolverType.OFFSET, ["a"], None, None),
            "pageResolverConfiguration.responseSize: Response size is required when using OFFSET",
        ),
        ((ResolverType.OFFSET, ["a"], 0, None), "pageResolverConfiguration.responseSize: must be greater than 0"),
        (
            (ResolverType.COUNTER, [], None, None),
            "pageResolverConfiguration.resolverPropertyKeyChain: must name the number of pages when using COUNTER",
        ),
        (
            (ResolverType.TOKEN, [], None, None),
            "pageResolverConfiguration.resolverPropertyKeyChain: must name the next page's token when using TOKEN",
        ),
    ],
)
def test_a_setting_that_the_pager_needs_is_named(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        make_pager(*arguments)
    assert str(error.value) == message


def test_a_token_of_unreasonable_length_is_refused() -> None:
    with pytest.raises(FatalStreamError) as error:
        following(TOKEN, "a", "x" * 70_000)
    assert str(error.value) == (
        "next, the next page's token by resolverPropertyKeyChain, is longer than 65536 bytes: "
        "correct the key chain, or the API"
    )


@pytest.mark.parametrize("number", ["9" * 5_000, '"' + "9" * 5_000 + '"', "1e999999"])
def test_a_number_of_unreasonable_size_is_none(number: str) -> None:
    with pytest.raises(FatalStreamError, match="is not a whole number"):
        COUNTER.after(1, number.encode(), has_rows=True)
