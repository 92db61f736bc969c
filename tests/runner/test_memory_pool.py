"""Where a runner's process takes Arrow's memory from."""

import pyarrow as pa
import pytest

from tests.runner.processes import PLUGINS, Stream

TELLS = f"{PLUGINS}.tells_its_pool:TellsItsPool"


def test_arrow_takes_its_memory_from_the_system(stream: Stream) -> None:
    assert stream.run(TELLS).configuration_error == "memory comes from system"


def test_another_pool_can_be_chosen_by_arrows_own_variable(stream: Stream) -> None:
    others = [name for name in pa.supported_memory_backends() if name != "system"]
    if not others:
        pytest.skip("this build of Arrow has no other pool")
    ended = stream.run(TELLS, ARROW_DEFAULT_MEMORY_POOL=others[0])
    assert ended.configuration_error == f"memory comes from {others[0]}"
