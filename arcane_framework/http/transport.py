"""The HTTP client's transport: guarded connections, proxies, TLS."""

import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

import httpcore2
import httpx2

from arcane_framework._core.errors import ConfigurationError
from arcane_framework.http.connections import (
    GUARD,
    Connect,
    Guard,
    GuardedBackend,
    Resolver,
    system_connect,
    system_resolver,
)
from arcane_framework.http.decoding import ACCEPT_ENCODING

MAX_CONNECTIONS: Final = 10
KEEP_ALIVE_SECONDS: Final = 30.0


@cache
def user_agent() -> str:
    """What requests say they come from."""
    return f"arcane-framework/{version('arcane-framework')}"


def make_client(
    *,
    ca_bundle: str | Path | None = None,
    proxies: Mapping[str, str] = MappingProxyType({}),
    resolver: Resolver = system_resolver,
    connect: Connect = system_connect,
) -> httpx2.Client:
    """A client that connects to no link-local and no metadata address, follows no redirects and keeps no cookies.

    TLS certificates are always verified, from TLS 1.2 on. Closing it, from any thread, cuts off what is in
    progress. Which further addresses are closed to a request is the `Requester`'s business. Through a proxy the
    connected address is the proxy's, so that only the hosts in URLs can be checked.

    Args:
        ca_bundle: A PEM file of the authorities to trust; None takes what SSL_CERT_FILE or SSL_CERT_DIR name, or
            the system's.
        proxies: As `urllib.request.getproxies` gives them: URLs under `http`, `https` and `all`, and the hosts
            without one under `no`.
        resolver: Resolves names; replaced in tests.
        connect: Connects sockets; replaced in tests.

    Raises:
        ConfigurationError: The authorities cannot be read, or a proxy is of an unknown kind.
    """
    transport = GuardedTransport(_tls(ca_bundle), proxies, resolver, connect)
    return httpx2.Client(
        transport=transport,
        headers={"User-Agent": user_agent(), "Accept-Encoding": ACCEPT_ENCODING},
        # A policy that lets no domain set any; type-wise a plain jar is one of the ways to say it.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        follow_redirects=False,
        trust_env=False,
    )


class GuardedTransport(httpx2.BaseTransport):
    """Sends requests under their `Guard`, see the extension `GUARD`; `close` may be called on any thread."""

    def __init__(
        self, context: ssl.SSLContext, proxies: Mapping[str, str], resolver: Resolver, connect: Connect
    ) -> None:
        self._backend = GuardedBackend(resolver=resolver, connect=connect)
        self._direct = httpcore2.ConnectionPool(
            ssl_context=context,
            network_backend=self._backend,
            max_connections=MAX_CONNECTIONS,
            max_keepalive_connections=MAX_CONNECTIONS,
            keepalive_expiry=KEEP_ALIVE_SECONDS,
        )
        self._proxies = dict(proxies)
        self._proxy_backend = GuardedBackend(checked=False)
        self._proxied = {
            scheme: _proxy_pool(url, context, self._proxy_backend)
            for scheme in ("http", "https")
            if (url := proxies.get(scheme) or proxies.get("all"))
        }

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        guard: Guard | None = request.extensions.get(GUARD)
        pool, backend = self._route(request.url)
        assert isinstance(request.stream, httpx2.SyncByteStream)
        raw = httpcore2.Request(
            method=request.method,
            url=httpcore2.URL(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with backend.guarding(guard), _mapped():
            response = pool.handle_request(raw)
        assert isinstance(response.stream, Iterable)
        return httpx2.Response(
            response.status,
            headers=response.headers,
            stream=_Body(response.stream, backend, guard),
            extensions=response.extensions,
        )

    def close(self) -> None:
        for backend in (self._backend, self._proxy_backend):
            backend.abort()
        for pool in (self._direct, *self._proxied.values()):
            pool.close()

    def _route(self, url: httpx2.URL) -> tuple[httpcore2.ConnectionPool, GuardedBackend]:
        pool = self._proxied.get(url.scheme)
        if pool is None or proxy_bypass_environment(url.netloc.decode("ascii"), self._proxies):
            return self._direct, self._backend
        return pool, self._proxy_backend


class _Body(httpx2.SyncByteStream):
    def __init__(self, stream: Iterable[bytes], backend: GuardedBackend, guard: Guard | None) -> None:
        self._stream = stream
        self._backend = backend
        self._guard = guard

    def __iter__(self) -> Iterator[bytes]:
        chunks = iter(self._stream)
        while True:
            with self._backend.guarding(self._guard), _mapped():
                chunk = next(chunks, None)
            if chunk is None:
                return
            yield chunk

    def close(self) -> None:
        if hasattr(self._stream, "close"):
            self._stream.close()


@contextmanager
def _mapped() -> Iterator[None]:
    """The connection library's errors as the client library's: their names are the same."""
    try:
        yield
    except (
        httpcore2.TimeoutException,
        httpcore2.NetworkError,
        httpcore2.ProtocolError,
        httpcore2.ProxyError,
        httpcore2.UnsupportedProtocol,
    ) as error:
        kind: type[httpx2.TransportError] = getattr(httpx2, type(error).__name__)
        # The text of this one quotes header values.
        text = "the request is not valid HTTP" if isinstance(error, httpcore2.LocalProtocolError) else str(error)
        raise kind(text) from error


def _tls(ca_bundle: str | Path | None) -> ssl.SSLContext:
    try:
        if ca_bundle is None:
            context = httpx2.create_ssl_context()
        else:
            context = ssl.create_default_context(cafile=str(ca_bundle))
    except OSError as error:
        named = "SSL_CERT_FILE and SSL_CERT_DIR" if ca_bundle is None else str(ca_bundle)
        reason = "no certificates in it" if isinstance(error, ssl.SSLError) else error.strerror
    else:
        # Not every build of Python refuses older ones by itself.
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context
    raise ConfigurationError(f"the certificates of the authorities to trust cannot be read ({reason}): check {named}")


def _proxy_pool(url: str, context: ssl.SSLContext, backend: GuardedBackend) -> httpcore2.HTTPProxy:
    try:
        proxy = httpx2.Proxy(url if "://" in url else f"http://{url}")
    except (httpx2.InvalidURL, ValueError):
        proxy = None
    if proxy is None or proxy.url.scheme != "http" or not proxy.url.host:
        raise ConfigurationError(
            "the proxy that the environment names (HTTP_PROXY, HTTPS_PROXY or ALL_PROXY) cannot be used: "
            "its URL must begin with http://"
        )
    return httpcore2.HTTPProxy(
        proxy_url=httpcore2.URL(scheme=b"http", host=proxy.url.raw_host, port=proxy.url.port, target=b"/"),
        proxy_auth=proxy.raw_auth,
        ssl_context=context,
        network_backend=backend,
        max_connections=MAX_CONNECTIONS,
        max_keepalive_connections=MAX_CONNECTIONS,
        keepalive_expiry=KEEP_ALIVE_SECONDS,
    )
