"""Schemas of others, and text that is read by them, as Arrow."""

from typing import TYPE_CHECKING

from arcane_framework._core.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from arcane_framework.schema.openapi import schema_from_openapi

__all__ = ["schema_from_openapi"]

__getattr__, __dir__ = lazy_exports(__name__, {"openapi": ("schema_from_openapi",)})
