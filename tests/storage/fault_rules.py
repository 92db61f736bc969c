"""What goes wrong between a client and a store, and how often."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from tests.storage.operations import OPERATIONS

Fault = Literal[
    "lose the request",
    "503 before",
    "409 before",
    "503 after",
    "twice",
    "lose the answer",
    "cut the answer",
    "slow",
    None,
]
"""`before`: the request is not passed on. `after`, and lost or cut answers: it was carried out. `twice`: somebody in
between has repeated it, and the second answer comes back: 412 or 409 for an object that the first one has made."""

Rule = Callable[[str, str], Fault]
"""From method and target to what goes wrong."""

ANYWHERE: Final[Sequence[Fault]] = ("lose the request", "503 before", "503 after", "lose the answer", "slow")
LOST: Final[Sequence[Fault]] = ("lose the request", "503 after", "lose the answer")
"""After these a client does not know whether its request was carried out."""

_LOG: Final = "_arcane/log/"


@dataclass
class Dice:
    """A `Rule` of chance.

    Attributes:
        kind: Of the store.
        share: Of the requests that go wrong.
        seed: Of the dice.
        faults: What may go wrong; None: everything that fits a request.
        fragment: Only in requests with this in their target.
        counts: How often what has happened.
    """

    kind: str
    share: float = 0.0
    seed: int = 0
    faults: Sequence[Fault] | None = None
    fragment: str = ""
    counts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)

    def __call__(self, method: str, target: str) -> Fault:
        if self.fragment not in target or self._dice.random() >= self.share:
            return None
        fault = self._dice.choice(self.faults or self._fitting(method, target))
        self.counts[str(fault)] = self.counts.get(str(fault), 0) + 1
        return fault

    def _fitting(self, method: str, target: str) -> list[Fault]:
        operation = OPERATIONS[self.kind](method, target)
        published = operation in ("CompleteMultipartUpload", "PutBlockList")
        conditional = published or (operation in ("PutObject", "PutBlob") and _LOG in target)
        found: list[Fault] = [*ANYWHERE]
        if method == "GET":
            found.append("cut the answer")
        if conditional:
            found.append("twice")
            if self.kind == "s3":
                # Azure has no such answer: its 409 says that there is an object.
                found.append("409 before")
        return found
