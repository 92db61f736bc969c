"""The REST API source.

RestApiSource(services, RestApi(template=RequestTemplate(...), schema=...), ...)
"""

from typing import TYPE_CHECKING

from arcane_framework._core.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from arcane_framework.sources.rest.authentication import FixedHeaders, TokenSettings
    from arcane_framework.sources.rest.pagers import (
        CounterPager,
        OffsetPager,
        Pager,
        ResolverType,
        TokenPager,
        make_pager,
    )
    from arcane_framework.sources.rest.source import RestApi, RestApiSource
    from arcane_framework.sources.rest.templates import FieldType, Placement, RequestTemplate, TemplatedField
    from arcane_framework.sources.rest.timespan import parse_timespan

__all__ = [
    "CounterPager",
    "FieldType",
    "FixedHeaders",
    "OffsetPager",
    "Pager",
    "Placement",
    "RequestTemplate",
    "ResolverType",
    "RestApi",
    "RestApiSource",
    "TemplatedField",
    "TokenPager",
    "TokenSettings",
    "make_pager",
    "parse_timespan",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "authentication": ("FixedHeaders", "TokenSettings"),
        "pagers": ("CounterPager", "OffsetPager", "Pager", "ResolverType", "TokenPager", "make_pager"),
        "source": ("RestApi", "RestApiSource"),
        "templates": ("FieldType", "Placement", "RequestTemplate", "TemplatedField"),
        "timespan": ("parse_timespan",),
    },
)
