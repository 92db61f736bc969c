"""Schemas of others, and text that is read by them, as Arrow."""

from typing import TYPE_CHECKING

from arcane_framework._core.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from arcane_framework.schema.json_document import JsonError, KeyChains
    from arcane_framework.schema.json_rows import JsonRows
    from arcane_framework.schema.json_text import json_text_field
    from arcane_framework.schema.openapi import schema_from_openapi

__all__ = ["JsonError", "JsonRows", "KeyChains", "json_text_field", "schema_from_openapi"]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "json_document": ("JsonError", "KeyChains"),
        "json_rows": ("JsonRows",),
        "json_text": ("json_text_field",),
        "openapi": ("schema_from_openapi",),
    },
)
