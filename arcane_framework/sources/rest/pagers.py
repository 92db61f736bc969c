"""Page resolvers: which page of a window comes next. Pure; what they know of a window is in their arguments."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Protocol

from arcane_framework._core.errors import ConfigurationError, FatalStreamError
from arcane_framework.schema.json_document import is_empty_array, kind_of

MAX_SCALAR_BYTES = 1 << 16
"""Of a number of pages, a token or a link."""

_DIGITS = re.compile(r"\d{1,18}", re.ASCII)

Pointer = int | str
"""What is put into a request for a page: a page number, an offset or a token."""


class ResolverType(StrEnum):
    """The ways of paging, by the spec's names."""

    COUNTER = "COUNTER"
    OFFSET = "OFFSET"
    TOKEN = "TOKEN"  # noqa: S105 - the name of a way of paging


class Pager(Protocol):
    """A way of paging.

    Attributes:
        name: What positions remember it by: one of another name cannot go on in its windows.
        key_chain: Where in a response it looks.
    """

    @property
    def name(self) -> str: ...

    @property
    def key_chain(self) -> tuple[str, ...]: ...

    def first(self) -> Pointer:
        """The pointer of a window's first page."""
        ...

    def total(self, found: bytes | None) -> int | None:
        """The number of a window's pages, if a response says it and `after` wants to be told the latest."""
        ...

    def after(
        self, pointer: Pointer, found: bytes | None, *, has_rows: bool, total: int | None = None
    ) -> Pointer | None:
        """The pointer of the page after the one at `pointer`; None at the window's end.

        Args:
            pointer: Of the page that has just been read.
            found: The JSON text at `key_chain` in its response; None when a property on the way is missing or null.
            has_rows: Whether that page had rows.
            total: What `total` has made of the latest response of the window that said it, this one included.

        Raises:
            FatalStreamError: The response does not hold what this way of paging needs.
        """
        ...


@dataclass(frozen=True, slots=True)
class CounterPager:
    """Pages 1 to n; each response says what n is, and the latest is believed.

    Attributes:
        key_chain: Where the number of pages is.
    """

    key_chain: tuple[str, ...]
    name: ClassVar[str] = ResolverType.COUNTER.value

    def __post_init__(self) -> None:
        if not self.key_chain:
            raise ConfigurationError(
                "pageResolverConfiguration.resolverPropertyKeyChain: must name the number of pages when using COUNTER"
            )

    def first(self) -> Pointer:
        return 1

    def total(self, found: bytes | None) -> int | None:
        return None if found is None else _whole_number(_scalar(found))

    def after(
        self, pointer: Pointer, found: bytes | None, *, has_rows: bool, total: int | None = None
    ) -> Pointer | None:
        number = int(pointer)
        if self.total(found) is None and (_says_something(found) or (has_rows and total is None)):
            raise _unusable(self.key_chain, "the number of pages", "a whole number")
        return number + 1 if total is not None and number < total else None


@dataclass(frozen=True, slots=True)
class OffsetPager:
    """Offsets in equal steps, until a page is empty.

    Attributes:
        key_chain: Where the array of rows is.
        response_size: The step.
        start_offset: Of the first page.
    """

    key_chain: tuple[str, ...]
    response_size: int
    start_offset: int = 0
    name: ClassVar[str] = ResolverType.OFFSET.value

    def __post_init__(self) -> None:
        if self.response_size <= 0:
            raise ConfigurationError("pageResolverConfiguration.responseSize: must be greater than 0")

    def first(self) -> Pointer:
        return self.start_offset

    def total(self, found: bytes | None) -> int | None:
        return None

    def after(
        self, pointer: Pointer, found: bytes | None, *, has_rows: bool, total: int | None = None
    ) -> Pointer | None:
        # No early end at a page of fewer rows: the step need not be the size of a page.
        if _is_filled_array(found, self.key_chain):
            if not has_rows:
                raise FatalStreamError(
                    f"{_place(self.key_chain)} holds rows by resolverPropertyKeyChain, and responsePropertyKeyChain "
                    "leads to none: correct one of them"
                )
            return int(pointer) + self.response_size
        if has_rows and not _says_something(found):
            raise _unusable(self.key_chain, "the array of rows", "an array")
        return None


@dataclass(frozen=True, slots=True)
class TokenPager:
    """Each response holds the token, or the whole link, of the next page, until one does not.

    Attributes:
        key_chain: Where the token is.
    """

    key_chain: tuple[str, ...]
    name: ClassVar[str] = ResolverType.TOKEN.value

    def __post_init__(self) -> None:
        if not self.key_chain:
            raise ConfigurationError(
                "pageResolverConfiguration.resolverPropertyKeyChain: must name the next page's token when using TOKEN"
            )

    def first(self) -> Pointer:
        return ""

    def total(self, found: bytes | None) -> int | None:
        return None

    def after(
        self, pointer: Pointer, found: bytes | None, *, has_rows: bool, total: int | None = None
    ) -> Pointer | None:
        if found is not None and len(found) > MAX_SCALAR_BYTES:
            raise FatalStreamError(
                f"{_place(self.key_chain)}, the next page's token by resolverPropertyKeyChain, is longer than "
                f"{MAX_SCALAR_BYTES} bytes: correct the key chain, or the API"
            )
        value = None if found is None else _scalar(found, numbers_as=str)
        if value is None or value is False or value == "":
            return None
        if not isinstance(value, str):
            raise _unusable(self.key_chain, "the next page's token", "a text, a number or null")
        if value == pointer:
            raise FatalStreamError(
                f"{_place(self.key_chain)} holds the token that this page was asked for with: "
                "reading on would never end. Correct resolverPropertyKeyChain, or the API"
            )
        return value


def make_pager(
    resolver_type: ResolverType, key_chain: Sequence[str], response_size: int | None, start_offset: int | None
) -> Pager:
    """The pager of a spec's `pageResolverConfiguration`.

    Raises:
        ConfigurationError: A setting that this way of paging needs is missing.
    """
    chain = tuple(key_chain)
    if resolver_type is ResolverType.COUNTER:
        return CounterPager(chain)
    if resolver_type is ResolverType.TOKEN:
        return TokenPager(chain)
    if response_size is None:
        raise ConfigurationError("pageResolverConfiguration.responseSize: Response size is required when using OFFSET")
    return OffsetPager(chain, response_size, start_offset or 0)


def _whole_number(value: object) -> int | None:
    """Numbers in quotes are common; what is no whole number is not guessed at."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and _DIGITS.fullmatch(value.strip()):
        return int(value)
    return value if isinstance(value, int) else None


def _says_something(found: bytes | None) -> bool:
    return found is not None and found.strip() != b"null"


def _is_filled_array(found: bytes | None, chain: Sequence[str]) -> bool:
    if found is None or not _says_something(found):
        return False
    if kind_of(found) != "an array":
        raise _unusable(chain, "the array of rows", "an array")
    return not is_empty_array(found)


def _scalar(found: bytes, numbers_as: Callable[[str], object] | None = None) -> object:
    """The value of a JSON text; an object of no use for arrays, objects and what is unreasonably long."""
    if len(found) > MAX_SCALAR_BYTES or kind_of(found) in ("an array", "an object"):
        return ...
    try:
        return json.loads(found, parse_int=numbers_as, parse_float=numbers_as)
    except ValueError:  # a number of more digits than Python will read
        return ...


def _place(chain: Sequence[str]) -> str:
    return ".".join(chain) or "the response"


def _unusable(chain: Sequence[str], meaning: str, wanted: str) -> FatalStreamError:
    return FatalStreamError(
        f"{_place(chain)}, {meaning} by resolverPropertyKeyChain, is not {wanted}: correct the key chain"
    )
