"""A request body with placeholders, which may be JSON. Pure."""

import json
import re
from collections.abc import Iterator, Mapping

_QUOTE = re.compile(r'\\.|(")', re.DOTALL)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", re.ASCII)
_SAMPLE_PAGE = "1"


def resolved_body(pieces: tuple[str, ...], dates: Mapping[str, str], page_name: str | None, page: str | None) -> str:
    r"""The body's text.

    In a body that is JSON a page cannot change more than the value that it is put into: between quotes it is
    escaped, and elsewhere it is a number or becomes a text with quotes of its own.

    Args:
        pieces: See `split_at_placeholders`.
        dates: What the placeholders of dates are replaced by; as they are, also in JSON.
        page_name: The placeholder of the page; None if the body has none.
        page: What it is replaced by.
    """
    if page_name is None or page is None:
        return _joined(pieces, dates)
    if not is_json(_joined(pieces, {**dates, page_name: _SAMPLE_PAGE})):
        return _joined(pieces, {**dates, page_name: page})
    return "".join(_json_pieces(pieces, dates, page_name, page))


def is_json(text: str) -> bool:
    """Whether the text is one JSON document."""
    try:
        json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return False
    return True


def _json_pieces(pieces: tuple[str, ...], dates: Mapping[str, str], page_name: str, page: str) -> Iterator[str]:
    text = json.dumps(page, ensure_ascii=False)
    number = _NUMBER.fullmatch(page) is not None
    quoted = False
    for index, piece in enumerate(pieces):
        if index % 2 and piece == page_name:
            yield text[1:-1] if quoted else page if number else text
            continue
        literal = dates[piece] if index % 2 else piece
        quoted ^= len([quote for quote in _QUOTE.findall(literal) if quote]) % 2 == 1
        yield literal


def _joined(pieces: tuple[str, ...], values: Mapping[str, str]) -> str:
    return "".join(values[piece] if index % 2 else piece for index, piece in enumerate(pieces))


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
