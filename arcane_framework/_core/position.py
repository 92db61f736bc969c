"""Positions: what is stored atomically with the rows, and where a run goes on from.

Two positions are kept apart. `stream` is the watermark that streaming goes on from; a backfill
has its own watermark and remembers from its start where streaming must go on after it. The
stream's position is replaced only when the backfill completes.
"""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter, ValidationError

from arcane_framework._core.batch import Watermark
from arcane_framework._core.errors import FatalStreamError
from arcane_framework._core.services import StreamIdentity

_JSON_OBJECT = TypeAdapter(dict[str, JsonValue])


class BackfillState(StrEnum):
    """Whether the backfill in the log has reached its end."""

    RUNNING = "running"
    COMPLETED = "completed"


class BackfillPosition(BaseModel):
    """How far a backfill is.

    Attributes:
        id: Its identity; a run with the same one resumes it.
        generation: A fresh text for each time a backfill was begun anew, the id being the same or not.
        state: Whether it has completed.
        schema_hash: The schema that it was begun with; another one begins it anew.
        watermark: The source's position inside the backfill; None at its start.
        stream: Where streaming has to go on after it, as known at its start.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    generation: str
    state: BackfillState
    schema_hash: str
    watermark: dict[str, Any] | None = None
    stream: dict[str, Any] | None = None


class Position(BaseModel):
    """A stream's whole position: what a sink stores with each commit and hands back at the next start.

    `model_dump_json()` and `model_validate_json()` turn it into text and back.

    Attributes:
        stream: The watermark that streaming goes on from; None before the first.
        backfill: The newest backfill, running or completed; None when there never was one.
    """

    model_config = ConfigDict(frozen=True)

    stream: dict[str, Any] | None = None
    backfill: BackfillPosition | None = None

    def moved(self, watermark: Watermark, *, backfilling: bool) -> "Position":
        """This position with the watermark of one mode replaced."""
        if not backfilling:
            return self.model_copy(update={"stream": json_object(watermark)})
        assert self.backfill is not None
        return self._with_backfill(watermark=json_object(watermark))

    def resumes(self, identity: StreamIdentity, schema_hash: str) -> bool:
        """Whether a backfill run of `identity` goes on with the backfill stored here.

        The same id resumes (a completed one has nothing left to do), another id starts anew.
        Without an id (older operators) an unfinished backfill resumes and a finished one starts
        anew. A changed schema always starts anew: generations are never mixed.
        """
        stored = self.backfill
        if stored is None or stored.schema_hash != schema_hash:
            return False
        if identity.backfill_id is None:
            return stored.state is BackfillState.RUNNING
        return stored.id == identity.backfill_id

    def begun(self, identity: StreamIdentity, schema_hash: str, stream: Watermark | None) -> "Position":
        """This position with a new backfill at its start."""
        generation = uuid4().hex
        backfill = BackfillPosition(
            id=identity.backfill_id or generation,
            generation=generation,
            state=BackfillState.RUNNING,
            schema_hash=schema_hash,
            stream=None if stream is None else json_object(stream),
        )
        return self.model_copy(update={"backfill": backfill})

    def completed(self, stream: Watermark | None) -> "Position":
        """This position with its backfill completed and streaming going on from `stream`."""
        done = self._with_backfill(state=BackfillState.COMPLETED)
        return done.model_copy(update={"stream": None if stream is None else json_object(stream)})

    def _with_backfill(self, **changes: object) -> "Position":
        assert self.backfill is not None
        return self.model_copy(update={"backfill": self.backfill.model_copy(update=changes)})


def json_object(watermark: Watermark) -> dict[str, Any]:
    """A copy of `watermark` that its source can no longer change.

    Raises:
        FatalStreamError: It is no JSON object; the message does not show it, for it may hold a token.
    """
    if not isinstance(watermark, Mapping):
        raise FatalStreamError(f"a watermark must be a JSON object, a dict, not a {type(watermark).__name__}")
    try:
        copied = _JSON_OBJECT.validate_python(dict(watermark), strict=True)  # copies what is nested, too
        json.dumps(copied, allow_nan=False, ensure_ascii=False).encode()
        return copied
    except ValidationError as error:
        place = str(error.errors(include_input=False, include_url=False)[0]["loc"][0])
    except ValueError:  # NaN and infinity, which JSON has not; half a character
        place = ", ".join(map(str, watermark))
    raise FatalStreamError(
        f"a watermark must be a JSON object of texts, numbers, booleans, nulls, lists and objects; {place!r} is not"
    )
