"""The commit log of a stream: what is committed, how it is recovered, and how to read it.

`_arcane/log/` in a stream's folder is the only truth about a stream. `StreamState` reads it.
"""

from arcane_framework.commits.manifest import Manifest, Part
from arcane_framework.commits.state import Problem, StreamState

__all__ = ["Manifest", "Part", "Problem", "StreamState"]
