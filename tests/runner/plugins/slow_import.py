"""Takes a second to import, and says when it has begun."""

import sys
import time

from tests.runner.plugins.numbers_stream import Numbers

__all__ = ["Numbers"]

sys.stderr.write('{"event": "importing"}\n')
sys.stderr.flush()
time.sleep(1)
