import pytest

from arcane_framework import ConfigurationError, FatalStreamError
from arcane_framework.http import check_url
from tests.http.test_addresses import METADATA_SPELLINGS

OWN = "https://shop.example/orders?since=@from"


@pytest.mark.parametrize(
    ("url", "trusted", "allowed"),
    [
        ("https://shop.example/orders?page=2", [OWN], ()),
        ("https://SHOP.example:443/", [OWN], ()),
        ("https://shop.example/", ["http://shop.example/"], ()),
        ("http://shop.example/", ["http://shop.example/"], ()),
        ("https://shop.example:8443/", ["http://shop.example:8443/"], ()),
        ("http://127.0.0.1:8080/", ["http://127.0.0.1:8080/"], ()),
        ("http://localhost/", ["http://localhost/"], ()),
        ("http://10.0.0.1/", ["http://10.0.0.1/"], ()),
        ("https://login.example/token", [OWN, "https://login.example/"], ()),
        ("https://other.example/", [OWN], ("other.example",)),
        ("https://OTHER.example/", [OWN], ("Other.Example",)),
        ("https://other.example:8443/", [OWN], ("other.example:8443",)),
        ("https://10.0.0.5/", [OWN], ("10.0.0.5",)),
        ("https://10.0.0.5:8443/", [OWN], ("10.0.0.5:8443",)),
        ("https://[fd12::1]/", [OWN], ("fd12::1",)),
        ("https://[fd12::1]:8443/", [OWN], ("[fd12::1]:8443",)),
        ("https://xn--bcher-kva.example/", [OWN], ("bücher.example",)),
        ("http://other.example/", ["http://shop.example/"], ("other.example",)),
        # One parser for what is checked and what is sent: this is a user name, whatever a browser makes of it.
        ("https://evil.example\\@shop.example/", [OWN], ()),
    ],
)
def test_own_and_allowed_hosts_are_open(url: str, trusted: list[str], allowed: tuple[str, ...]) -> None:
    check_url(url, trusted=trusted, allowed_hosts=allowed)


@pytest.mark.parametrize(
    ("url", "allowed", "message"),
    [
        (
            "https://evil.example/x?token=secret",
            (),
            "page 3 would go to https://evil.example, which is not the stream's own host https://shop.example: "
            "if that is right, add 'evil.example' to allowedHosts",
        ),
        (
            "https://user:password@evil.example:8443/x",
            ("evil.example",),
            "page 3 would go to https://evil.example:8443, which is not the stream's own host https://shop.example: "
            "if that is right, add 'evil.example:8443' to allowedHosts",
        ),
        (
            "https://shop.example:8443/",
            (),
            "page 3 would go to https://shop.example:8443, which is not the stream's own host https://shop.example: "
            "if that is right, add 'shop.example:8443' to allowedHosts",
        ),
        (
            "http://shop.example/orders?token=secret",
            ("shop.example",),
            "page 3: http://shop.example/orders is not encrypted, and the stream's own URL is: "
            "a link never leads from https to http; correct the URL",
        ),
        (
            "https://127.0.0.1/",
            (),
            "page 3 would go to https://127.0.0.1, which is not the stream's own host https://shop.example: "
            "if that is right, add '127.0.0.1' to allowedHosts",
        ),
        ("ftp://shop.example/x", (), "page 3: ftp://shop.example/x is not an http or https URL: correct the URL"),
        ("/orders?page=2", (), "page 3: a URL without a host is not an http or https URL: correct the URL"),
        ("https://shop.example:99999/", (), None),
        ("https://[::1/", (), "page 3: a URL that cannot be read is not an http or https URL: correct the URL"),
        ("https:///orders", (), None),
        ("https://shop.example@evil.example/", (), None),
        ("https://shop.example.evil.example/", (), None),
        ("https://evil.example#@shop.example/", (), None),
        ("https://shop.example\r\nHost: evil/", (), None),
        ("https://shop.example./", (), None),
    ],
)
def test_another_host_is_refused_with_the_remedy(url: str, allowed: tuple[str, ...], message: str | None) -> None:
    with pytest.raises(FatalStreamError) as caught:
        check_url(url, trusted=[OWN], allowed_hosts=allowed, what="page 3")
    if message is not None:
        assert str(caught.value) == message
    assert "secret" not in str(caught.value)
    assert "password" not in str(caught.value)


def test_https_at_a_port_of_its_own_is_not_left_for_http_there() -> None:
    with pytest.raises(FatalStreamError, match="a link never leads from https to http"):
        check_url("http://shop.example:8443/", trusted=["https://shop.example:8443/"], allowed_hosts=())


@pytest.mark.parametrize("host", METADATA_SPELLINGS)
def test_metadata_is_refused_even_as_the_streams_own_host(host: str) -> None:
    url = f"http://[{host.strip('[]')}]/" if ":" in host else f"http://{host}/"
    # Some the URL's own rules refuse already: a zone, too many digits.
    pattern = r"a stream never connects there|is not an http or https URL"
    with pytest.raises((FatalStreamError, ConfigurationError), match=pattern):
        check_url(url, trusted=[url])


def test_the_refusal_of_metadata_says_what_it_is() -> None:
    with pytest.raises(FatalStreamError) as caught:
        check_url("http://2852039166/latest", trusted=["http://2852039166/"], what="page 3")
    assert str(caught.value) == (
        "page 3 would go to 2852039166, and 169.254.169.254 is a link-local address, where clouds keep their "
        "metadata: a stream never connects there; correct the URL"
    )


@pytest.mark.parametrize(
    ("entry", "shown"),
    [
        ("https://other.example", "'https://other.example'"),
        ("other.example/path", "'other.example/path'"),
        ("other.example?x", "'other.example?x'"),
        ("other.example#x", "'other.example#x'"),
        ("*.example", "'*.example'"),
        ("two hosts", "'two hosts'"),
        ("", "''"),
        ("other.example:99999", "'other.example:99999'"),
        ("other.example:x", "'other.example:x'"),
        ("1::2::3", "'1::2::3'"),
        ("shop%2eexample", "'shop%2eexample'"),
        ("%31%36%39.254.169.254", "'%31%36%39.254.169.254'"),
        (" shop.example", "' shop.example'"),
        ("shop.example ", "'shop.example '"),
        ("shop.example\n", "'shop.example\\n'"),
        ("shop\u2003.example", "'shop\\u2003.example'"),
        ("shop.*", "'shop.*'"),
    ],
)
def test_an_entry_of_allowed_hosts_is_a_host(entry: str, shown: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_url(OWN, trusted=[OWN], allowed_hosts=[entry])
    assert str(caught.value) == (
        f"allowedHosts: {shown} is no host: write `host` or `host:port`, without a scheme or a path"
    )


def test_metadata_cannot_be_allowed() -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_url(OWN, trusted=[OWN], allowed_hosts=["169.254.169.254"])
    assert str(caught.value) == (
        "allowedHosts: 169.254.169.254 cannot be allowed: "
        "169.254.169.254 is a link-local address, where clouds keep their metadata"
    )


def test_the_streams_own_url_must_be_one() -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_url(OWN, trusted=["shop.example/orders"])
    assert str(caught.value) == "a URL without a host is not an http or https URL: correct the URL"


NO_HOSTS = (
    "%31%36%39.254.169.254",
    "metadata.google.internal%2e",
    "metadata.google%2Einternal",
    "shop%00.example",
    "%E2%84%AA.example",
    "shop example",
    "shop*.example",
    "shop;x.example",
    "shop\\x.example",
    "[fe80::1%25eth0]",
)


@pytest.mark.parametrize("host", NO_HOSTS)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_host_of_other_characters_is_refused_wherever_it_stands(scheme: str, host: str) -> None:
    url, own = f"{scheme}://{host}/orders", f"{scheme}://shop.example/"
    with pytest.raises(FatalStreamError) as link:
        check_url(url, trusted=[own], what="page 3")
    assert str(link.value) == f"page 3: {url} is not an http or https URL: correct the URL"
    with pytest.raises(ConfigurationError) as given:
        check_url(own, trusted=[url])
    assert str(given.value) == f"{url} is not an http or https URL: correct the URL"
    with pytest.raises(ConfigurationError, match=r"is no host: write `host` or `host:port`"):
        check_url(own, trusted=[own], allowed_hosts=[host])


@pytest.mark.parametrize(
    ("host", "same"),
    [
        ("b\u00fccher.example", "xn--bcher-kva.example"),
        ("SHOP_1.ex-ample.", "shop_1.ex-ample."),
        ("[2001:db8::1]", "[2001:db8::1]"),
        ("93.184.215.14", "93.184.215.14"),
    ],
)
def test_hosts_of_every_usual_kind_are_taken(host: str, same: str) -> None:
    check_url(f"https://{host}:8443/orders", trusted=[f"https://{same}:8443/"])
    if host[0] != "[":
        check_url(f"https://{host}/orders", trusted=[OWN], allowed_hosts=[same])
