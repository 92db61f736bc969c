"""The public names: a change here is a change of the interface and belongs into the changelog."""

import importlib
import inspect
from typing import get_type_hints

import pytest

PUBLIC = {
    "arcane_framework": """
        ArcaneError BackfillPosition BackfillState Batch Clock CommitReport Committed ConfigurationError
        FatalStreamError FencedError FromEnvironment Grouping Instant KillSwitch Logger Metrics Mode NamedOperator
        Operator PollingSource Position Progress QuarantinedRow RunSummary RunnableGraph SchemaInconsistentError
        SchemaMismatchError Seconds Services Sink SinkContext SinkRun Source SourceRun SourceTags SpecModel Storage
        Stream StreamContext StreamGraphBuilder StreamIdentity TransientStreamError Wait Watermark to_sink
    """,
    "arcane_framework.commits": "Manifest Part Problem StreamState",
    "arcane_framework.hosting": """
        ExceptionHandler GraphRunner KubernetesJobStatus LifetimeService LocalStatus RunOptions RunSettings
        SignalLifetime StatusService StreamHost StreamRunner read_environment
    """,
    "arcane_framework.http": """
        Authorization HttpRequest HttpSettings HttpStatusError RateLimit RateLimiter Requester TruncatedBodyError
        check_headers check_url make_client shown_url
    """,
    "arcane_framework.operators": """
        count_rows filter_rows gather log_batches map_batches map_rows named prefetch rebatch select
    """,
    "arcane_framework.schema": "JsonError JsonRows KeyChains json_text_field schema_from_openapi",
    "arcane_framework.sinks": "JsonLinesSink ParquetSettings ParquetSink PartLayout PartitionField Segments",
    "arcane_framework.storage": "LocalStorage MemoryStorage StorageOpener",
    "arcane_framework.sources": "Batch PollingSource QuarantinedRow Source SourceRun SourceTags Wait Watermark",
    "arcane_framework.sources.rest": """
        CounterPager FieldType FixedHeaders OffsetPager Pager Placement RequestTemplate RestApi RestApiSource
        TemplatedField TokenPager TokenSettings
    """,
}


@pytest.mark.parametrize("module", PUBLIC)
def test_the_public_names_are_these(module: str) -> None:
    found = importlib.import_module(module)
    assert sorted(found.__all__) == sorted(PUBLIC[module].split())
    assert all(hasattr(found, name) for name in found.__all__)


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_says_what_it_is(module: str) -> None:
    found = importlib.import_module(module)
    for name in found.__all__:
        value = getattr(found, name)
        if isinstance(value, type) or inspect.isfunction(value):
            assert value.__doc__, f"{module}.{name}"


def test_the_types_of_the_protocols_can_be_resolved() -> None:
    from arcane_framework import Sink, Source

    for method in (Sink.open, Sink.write, Sink.commit, Source.stream, Source.backfill, Source.batch):
        assert get_type_hints(method)
