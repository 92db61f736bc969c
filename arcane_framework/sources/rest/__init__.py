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
        TokenPager,
    )
    from arcane_framework.sources.rest.source import RestApi, RestApiSource
    from arcane_framework.sources.rest.templates import FieldType, Placement, RequestTemplate, TemplatedField

__all__ = [
    "CounterPager",
    "FieldType",
    "FixedHeaders",
    "OffsetPager",
    "Pager",
    "Placement",
    "RequestTemplate",
    "RestApi",
    "RestApiSource",
    "TemplatedField",
    "TokenPager",
    "TokenSettings",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "authentication": ("FixedHeaders", "TokenSettings"),
        "pagers": ("CounterPager", "OffsetPager", "Pager", "TokenPager"),
        "source": ("RestApi", "RestApiSource"),
        "templates": ("FieldType", "Placement", "RequestTemplate", "TemplatedField"),
    },
)
