"""The kinds RestApiFixedAuth, RestApiDynamicAuth, RestApiPagedFixedAuth and RestApiPagedDynamicAuth.

A stream definition of any of them runs by its spec alone. Rows are written as JSON lines, as they come, unless
the spec says `sinkFormat: parquet`.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, ClassVar, Literal, TypeVar

import pyarrow as pa
from pydantic import Field, Json, Secret, SecretStr

from arcane_framework._core.context import FromEnvironment, Instant, Seconds, SinkContext, SpecModel, StreamContext
from arcane_framework._core.errors import ConfigurationError
from arcane_framework._core.graph import RunnableGraph, StreamGraphBuilder, to_sink
from arcane_framework._core.sink import Sink
from arcane_framework.http import HttpSettings, RateLimit
from arcane_framework.schema.openapi import schema_from_openapi
from arcane_framework.sinks import JsonLinesSink, ParquetSettings, ParquetSink
from arcane_framework.sources.rest import (
    FieldType,
    FixedHeaders,
    Pager,
    Placement,
    RequestTemplate,
    RestApi,
    RestApiSource,
    TemplatedField,
    TokenSettings,
)
from arcane_framework.sources.rest.pagers import ResolverType, make_pager
from arcane_framework.sources.rest.timespan import parse_timespan

NOTHING = timedelta(0)

NO_COLUMNS = pa.schema([])

T = TypeVar("T")

SecretHeaders = Secret[Json[dict[str, str]]]


class TemplatedFieldSpec(SpecModel):
    """A field of the URL or body template.

    Attributes:
        field_type: What it stands for.
        field_name: Its name in the templates, without the @.
        format_string: A .NET date format; nothing for pages.
        placement: The template that holds it.
    """

    field_type: FieldType = FieldType.RESPONSE_PAGE
    field_name: str
    format_string: str | None = None
    placement: Placement = Placement.URL


class PageResolverSpec(SpecModel):
    """How pages follow each other.

    Attributes:
        resolver_type: COUNTER, OFFSET or TOKEN.
        resolver_property_key_chain: Where the page information is in a response.
        response_size: The step of OFFSET, required there.
        start_offset: The first value of OFFSET.
    """

    resolver_type: ResolverType
    resolver_property_key_chain: tuple[str, ...] = ()
    response_size: int | None = None
    start_offset: int | None = None


class RestApiContext(SinkContext):
    """The spec's fields that all four kinds have.

    Attributes:
        url_template: The URL; a field `x` is written `@x`.
        body_template: The body; nothing: no body.
        http_method: How the API is asked.
        templated_fields: The fields of both templates.
        back_fill_start_date: Where a backfill begins.
        response_property_key_chain: The properties on the way to the array of rows.
        change_capture_interval_seconds: Between two windows.
        look_back_interval: How far the first streaming window reaches back when no position is stored.
        window_overlap_seconds: How much earlier than its start each window is asked for.
        http_timeout: For a whole request.
        retry_seconds: How long a request is repeated before the stream gives up.
        internal_rate_limit_count: So many requests...
        internal_rate_limit_interval: ...in this time.
        allowed_hosts: Other hosts that redirects and next links may lead to: `host` or `host:port`.
        max_response_bytes: The largest response, decompressed.
        api_schema_encoded: An OpenAPI schema object of one row, in base64.
        sink_format: JSON lines of the rows as they come, or Parquet by their schema.
    """

    url_template: Annotated[str, Field(min_length=1)]
    body_template: str | None = None
    http_method: str = "GET"
    templated_fields: tuple[TemplatedFieldSpec, ...] = ()
    back_fill_start_date: Instant
    response_property_key_chain: tuple[str, ...] = ()
    change_capture_interval_seconds: Annotated[Seconds, Field(gt=NOTHING)]
    look_back_interval: Annotated[Seconds, Field(ge=NOTHING)]
    window_overlap_seconds: Annotated[Seconds, Field(ge=NOTHING)] = NOTHING
    http_timeout: Annotated[Seconds, Field(gt=NOTHING)]
    retry_seconds: Annotated[Seconds, Field(ge=NOTHING)] = timedelta(minutes=5)
    internal_rate_limit_count: Annotated[int, Field(gt=0)] = 1
    internal_rate_limit_interval: Annotated[Seconds, Field(gt=NOTHING)] = timedelta(seconds=60)
    allowed_hosts: tuple[str, ...] = ()
    max_response_bytes: Annotated[int, Field(gt=0)] = 64 << 20
    api_schema_encoded: Annotated[str, Field(min_length=1)]
    sink_format: Literal["json", "parquet"] = "json"

    @property
    def template(self) -> RequestTemplate:
        """The request."""
        fields = tuple(
            TemplatedField(field.field_name, field.field_type, field.format_string or "", field.placement)
            for field in self.templated_fields
        )
        return RequestTemplate(self.url_template, self.http_method, self.body_template or "", fields)

    @property
    def http_settings(self) -> HttpSettings:
        """Timeouts, retries and limits."""
        return HttpSettings(
            timeout=self.http_timeout.total_seconds(),
            retry_seconds=self.retry_seconds.total_seconds(),
            max_body_bytes=self.max_response_bytes,
            allowed_hosts=self.allowed_hosts,
        )

    @property
    def rate_limit(self) -> RateLimit:
        """How often the API may be asked."""
        return RateLimit(self.internal_rate_limit_count, self.internal_rate_limit_interval.total_seconds())

    @property
    def pager_is_optional(self) -> bool:
        """Whether one request may give a whole window."""
        return True

    @property
    def pager(self) -> Pager | None:
        """How pages follow each other; None: one request gives a whole window."""
        return None

    @property
    def authorization(self) -> FixedHeaders | TokenSettings:
        """Who we are to the API."""
        return FixedHeaders({})


class PagedContext(SpecModel):
    """What paged kinds have beside.

    Attributes:
        page_resolver_configuration: How pages follow each other.
    """

    page_resolver_configuration: PageResolverSpec

    @property
    def pager_is_optional(self) -> bool:
        """A paged kind has a pager."""
        return False

    @property
    def pager(self) -> Pager:
        """The pager that the spec describes."""
        spec = self.page_resolver_configuration
        return make_pager(spec.resolver_type, spec.resolver_property_key_chain, spec.response_size, spec.start_offset)


class FixedAuthContext(SpecModel):
    """The secrets of kinds with fixed headers.

    Attributes:
        auth_headers: A JSON object of headers.
    """

    auth_headers: SecretHeaders

    @property
    def authorization(self) -> FixedHeaders:
        """The headers."""
        return FixedHeaders(self.auth_headers.get_secret_value())


class DynamicAuthContext(SpecModel):
    """The secrets and settings of kinds with tokens, all from the environment.

    Attributes:
        auth_url: The token endpoint.
        token_property_name: The property of its answer with the token.
        expiration_period_property_name: The one with the token's validity in seconds.
        expiration_period: A fixed validity, as .NET writes lengths of time.
        token_http_method: How the endpoint is asked.
        token_request_body: What is sent to it.
        token_request_content_type: `application/json` (default) or `application/x-www-form-urlencoded`.
        token_request_header_name: The header of data requests with the token; by default `Authorization`.
        token_request_token_scheme: What stands before the token there; by default `Bearer` in `Authorization`, else
            nothing.
        token_request_additional_headers: A JSON object of further headers of data requests.
    """

    auth_url: SecretStr
    token_property_name: Annotated[str, FromEnvironment("ARCANE__TOKENPROPERTYNAME")]
    expiration_period_property_name: Annotated[str | None, FromEnvironment("ARCANE__EXPIRATIONPERIODPROPERTYNAME")] = (
        None
    )
    expiration_period: Annotated[str | None, FromEnvironment("ARCANE__EXPIRATIONPERIOD")] = None
    token_http_method: Annotated[str, FromEnvironment("ARCANE__TOKENHTTPMETHOD")] = "GET"  # noqa: S105
    token_request_body: SecretStr | None = None
    token_request_content_type: Annotated[str | None, FromEnvironment("ARCANE__TOKENREQUESTCONTENTTYPE")] = None
    token_request_header_name: Annotated[str | None, FromEnvironment("ARCANE__TOKENREQUESTHEADERNAME")] = None
    token_request_token_scheme: Annotated[str | None, FromEnvironment("ARCANE__TOKENREQUESTTOKENSCHEME")] = None
    token_request_additional_headers: SecretHeaders | None = None

    @property
    def expiration_seconds(self) -> float | None:
        """The fixed validity. What is no length of time counts as not given, as it always has."""
        return None if self.expiration_period is None else parse_timespan(self.expiration_period)

    @property
    def authorization(self) -> TokenSettings:
        """How tokens are asked for and used."""
        more = self.token_request_additional_headers
        body = self.token_request_body
        return TokenSettings(
            url=self.auth_url.get_secret_value(),
            token_property=self.token_property_name,
            method=self.token_http_method,
            body=None if body is None else body.get_secret_value(),
            content_type=self.token_request_content_type,
            lifetime_property=self.expiration_period_property_name,
            lifetime=self.expiration_seconds,
            header=self.token_request_header_name,
            scheme=self.token_request_token_scheme,
            more_headers={} if more is None else more.get_secret_value(),
        )


class RestApiFixedAuthContext(FixedAuthContext, RestApiContext):
    """The spec of RestApiFixedAuth."""


class RestApiDynamicAuthContext(DynamicAuthContext, RestApiContext):
    """The spec of RestApiDynamicAuth."""


class RestApiPagedFixedAuthContext(PagedContext, FixedAuthContext, RestApiContext):
    """The spec of RestApiPagedFixedAuth."""


class RestApiPagedDynamicAuthContext(PagedContext, DynamicAuthContext, RestApiContext):
    """The spec of RestApiPagedDynamicAuth."""


class RestApiStream(StreamGraphBuilder[RestApiContext]):
    """The builder of all four kinds."""

    contexts: ClassVar[dict[str, type[RestApiContext]]] = {
        "RestApiFixedAuth": RestApiFixedAuthContext,
        "RestApiDynamicAuth": RestApiDynamicAuthContext,
        "RestApiPagedFixedAuth": RestApiPagedFixedAuthContext,
        "RestApiPagedDynamicAuth": RestApiPagedDynamicAuthContext,
    }

    @classmethod
    def context_type(cls, kind: str) -> type[StreamContext]:
        """The context class of a stream of `kind`."""
        if kind not in cls.contexts:
            raise ConfigurationError(f"{kind} is no kind of REST API stream; they are {', '.join(cls.contexts)}")
        return cls.contexts[kind]

    def build_graph(self, context: RestApiContext) -> RunnableGraph:
        storage = self.services.storage(context.sink_location)
        raw = context.sink_format == "json"
        sink: Sink = (
            JsonLinesSink(storage, grouping=context.grouping)
            if raw
            else ParquetSink(storage, grouping=context.grouping, parquet=ParquetSettings.of(context.parquet))
        )
        if not context.pager_is_optional and "internal_rate_limit_count" not in context.model_fields_set:
            self.services.log.warning(
                "one request a minute, the default, is asked: set internalRateLimitCount and internalRateLimitInterval"
            )
        source = RestApiSource(
            self.services,
            self._api(context),
            backfill_from=context.back_fill_start_date,
            interval=context.change_capture_interval_seconds,
            look_back=context.look_back_interval,
            overlap=context.window_overlap_seconds,
            raw=raw,
            quarantine=context.quarantine,
        )
        return self.start(source).pipe(to_sink(sink))

    def _api(self, context: RestApiContext) -> RestApi:
        problems: list[str] = []

        def checked(make: Callable[[], T]) -> T | None:
            try:
                return make()
            except ConfigurationError as error:
                problems.extend(error.problems or [str(error)])
                return None

        template = checked(lambda: context.template)
        schema = checked(lambda: schema_from_openapi(context.api_schema_encoded))
        pager = checked(lambda: context.pager)
        authorization = checked(lambda: context.authorization)
        api = None
        if template is not None and (pager is not None or context.pager_is_optional):
            # Made whatever else is wrong, for what it finds itself.
            api = checked(
                lambda: RestApi(
                    template=template,
                    schema=schema or NO_COLUMNS,
                    rows_at=context.response_property_key_chain,
                    pager=pager,
                    authorization=authorization or FixedHeaders({}),
                    rate_limit=context.rate_limit,
                    http=context.http_settings,
                )
            )
        if problems or api is None:
            raise ConfigurationError(f"the spec of stream '{context.stream_id}' cannot be used:", problems)
        return api
