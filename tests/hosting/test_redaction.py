"""What must be hidden, and what must stay readable."""

import base64
import re
import time
from datetime import UTC, datetime
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from arcane_framework.hosting.redaction import describe_error, is_secret_field, make_redactor, redact, redact_value

CORPUS = [
    # user information in URLs
    ("https://user:c4nary@host/path", "https://***@host/path"),
    ("https://c4nary@host/path", "https://***@host/path"),
    ("postgres://u:c4na/ry@db:5432/x", "postgres://***@db:5432/x"),
    ("amqp://u:c4na@ry@broker:5672/v", "amqp://***@broker:5672/v"),
    ("GET http://u:c4nary@[::1]:8080/a failed", "GET http://***@[::1]:8080/a failed"),
    ("'https://u:c4nary@host'", "'https://***@host'"),
    ("abfss://u:c4nary@acc.dfs.core.windows.net/p", "abfss://***@acc.dfs.core.windows.net/p"),
    ("HTTPS://U:c4nary@HOST/", "HTTPS://***@HOST/"),
    # signatures and tokens in queries
    ("https://a/b?sv=2024&sig=c4na%2Fry%3D&se=1", "https://a/b?sv=2024&sig=***&se=1"),
    ("https://a/b?SIG=c4nary", "https://a/b?SIG=***"),
    ("https://b.s3.amazonaws.com/k?X-Amz-Signature=c4nary&x=1", "https://b.s3.amazonaws.com/k?X-Amz-Signature=***&x=1"),
    ("?X-Amz-Credential=c4nary%2F20260101&X-Amz-Date=c4nary", "?X-Amz-Credential=***&X-Amz-Date=***"),
    ("?X-Amz-Security-Token=c4nary", "?X-Amz-Security-Token=***"),
    ("?next=https%3A%2F%2Fa%2Fb%3Fsig%3Dc4nary%26page%3D2", "?next=https%3A%2F%2Fa%2Fb%3Fsig%3D***%26page%3D2"),
    ("https://a/b?access_token=c4nary&page=2", "https://a/b?access_token=***&page=2"),
    ("https://a/b?api_key=c4nary", "https://a/b?api_key=***"),
    ("https://a/b?apikey=c4nary#x", "https://a/b?apikey=***"),
    ("https://f.azurewebsites.net/api/x?code=c4nary==&a=1", "https://f.azurewebsites.net/api/x?code=***&a=1"),
    ("https://maps/x?key=c4nary&q=1", "https://maps/x?key=***&q=1"),
    ("https://a/b?AWSAccessKeyId=c4nary&Signature=c4nary", "https://a/b?AWSAccessKeyId=***&Signature=***"),
    ("https://a/b?$skiptoken=c4nary", "https://a/b?$skiptoken=***"),
    ("grant_type=x&client_secret=c4nary&scope=x", "grant_type=x&client_secret=***&scope=x"),
    ("client_assertion=c4nary&a=b", "client_assertion=***&a=b"),
    # headers
    ("Authorization: Bearer c4nary", "Authorization: ***"),
    ("authorization: Basic dTpjNG5hcnk=", "authorization: ***"),
    ("AUTHORIZATION:c4nary c4nary", "AUTHORIZATION:***"),
    ('Proxy-Authorization: Digest username="u", response="c4nary"', "Proxy-Authorization: ***"),
    ("{'Authorization': 'Bearer c4nary', 'Accept': 'x'}", "{'Authorization': '***', 'Accept': 'x'}"),
    ('{"authorization": "c4nary", "accept": "x"}', '{"authorization": "***", "accept": "x"}'),
    ('"{\\"Authorization\\": \\"Bearer c4nary\\", \\"a\\": 1}"', '"{\\"Authorization\\": \\"***\\", \\"a\\": 1}"'),
    ("[(b'Authorization', b'AWS4 c4nary'), (b'a', b'b')]", "[(b'Authorization', b'***'), (b'a', b'b')]"),
    ("Authorization: AWS4-HMAC-SHA256 Credential=c4nary/x, Signature=c4nary", "Authorization: ***"),
    ("sent Bearer c4nary.x-y_z~+/= to it", "sent Bearer *** to it"),
    ("bearer   c4nary", "bearer   ***"),
    ("with Basic YzRuYXJ5OmM0bmFyeQ== sent", "with Basic *** sent"),
    ("X-Amz-Security-Token: c4nary", "X-Amz-Security-Token: ***"),
    ("x-api-key: c4nary", "x-api-key: ***"),
    ("Ocp-Apim-Subscription-Key: c4nary", "Ocp-Apim-Subscription-Key: ***"),
    ("Cookie: session=c4nary; b=c4nary", "Cookie: ***"),
    ("Set-Cookie: sid=c4nary; Path=/", "Set-Cookie: ***"),
    ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjNG5hcnkifQ.c4nary_c4nary was", "token *** was"),
    # connection strings
    ("Server=h;User Id=sa;Password=c4nary;Encrypt=yes", "Server=h;User Id=sa;Password=***;Encrypt=yes"),
    ("Server=h;Pwd=c4nary", "Server=h;Pwd=***"),
    ("Server=h;PWD = c4 nary, c4nary;A=b", "Server=h;PWD = ***;A=b"),
    ("Server=h;Uid=u;Pwd=c4 nary", "Server=h;Uid=u;Pwd=***"),
    ("Server=h;Pwd={c4na;r}}y};Encrypt=yes", "Server=h;Pwd=***;Encrypt=yes"),
    ("Server=h;Password='c4nary;c4nary';A=b", "Server=h;Password='***';A=b"),
    ("Password=c4nary;Server=h", "Password=***;Server=h"),
    ("pwd=c4 nary;server=h", "pwd=***;server=h"),
    (
        "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=c4nary+/==;EndpointSuffix=core.windows.net",
        "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=***;EndpointSuffix=core.windows.net",
    ),
    (
        "BlobEndpoint=https://a.blob.core.windows.net/;SharedAccessSignature=sv=2024&sig=c4nary",
        "BlobEndpoint=https://a.blob.core.windows.net/;SharedAccessSignature=***",
    ),
    ("SharedAccessSignature=sv=2024&sp=r&sig=c4nary", "SharedAccessSignature=***&sp=r&sig=***"),
    (
        "Endpoint=sb://n/;SharedAccessKeyName=n;SharedAccessKey=c4nary=",
        "Endpoint=sb://n/;SharedAccessKeyName=n;SharedAccessKey=***",
    ),
    ("could not connect with 'Server=h;Pwd=c4nary'", "could not connect with 'Server=h;Pwd=***"),
    ("host=h user=u password=c4nary dbname=d", "host=h user=u password=*** dbname=d"),
    ("password='c4 nary' dbname=d", "password='***' dbname=d"),
    # environment and configuration texts
    ("AWS_SECRET_ACCESS_KEY=c4nary/c4nary+x", "AWS_SECRET_ACCESS_KEY=***"),
    ("ARCANE__AWS_SECRET_ACCESS_KEY=c4nary AWS_REGION=eu", "ARCANE__AWS_SECRET_ACCESS_KEY=*** AWS_REGION=eu"),
    ("AWS_SESSION_TOKEN=c4nary", "AWS_SESSION_TOKEN=***"),
    ('export AZURE_STORAGE_CONNECTION_STRING="a=b;c4nary"', 'export AZURE_STORAGE_CONNECTION_STRING="***"'),
    ("ARCANE__STORAGEACCOUNTKEY=c4nary", "ARCANE__STORAGEACCOUNTKEY=***"),
    ("--password=c4nary --host h", "--password=*** --host h"),
    ("password: c4nary", "password: ***"),
    ('{"password": "c4na\\"ry", "user": "u"}', '{"password": "***", "user": "u"}'),
    ("{'client_secret': 'c4nary'}", "{'client_secret': '***'}"),
    ('{"storageAccountKey":"c4nary"}', '{"storageAccountKey":"***"}'),
    ('{"accessToken":"c4nary","expires":3}', '{"accessToken":"***","expires":3}'),
    ("-----BEGIN RSA PRIVATE KEY-----\nc4nary\n-----END RSA PRIVATE KEY----- x", "*** x"),
]

HARMLESS = [
    "https://host:8080/a@2x.png",
    "https://host/path?page=2&size=100",
    "abfss://container@account.dfs.core.windows.net/path",
    "wasbs://container@account.blob.core.windows.net/path",
    "s3a://bucket/prefix",
    "mail to someone@example.com",
    "missing secret ARCANE__PASSWORD: set it through secretRef",
    "the field authSecretRef is missing",
    "Basic authentication is not supported",
    "the Bearer token was refused",
    "exit code=2",
    "AWS_REGION=eu-central-1",
    "AccountName=acc",
    "SharedAccessKeyName=name",
    "secretRefName=orders",
    "key=17, keys=3",
    "tokens_per_second: 5",
    "2013-09-30T23:59:00Z committed 10,000 rows",
    "design=flat signal=9 assignment=x",
    "",
]


@pytest.mark.parametrize(("text", "expected"), CORPUS)
def test_a_credential_is_hidden_by_its_shape(text: str, expected: str) -> None:
    assert redact(text) == expected
    assert "c4na" not in expected


def test_the_corpus_has_at_least_sixty_texts() -> None:
    assert len({text for text, _ in CORPUS}) >= 60


@pytest.mark.parametrize("text", HARMLESS)
def test_a_text_without_credentials_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize("text", [text for text, _ in CORPUS])
def test_hiding_twice_shows_nothing_either(text: str) -> None:
    assert "c4na" not in redact(redact(text))


SECRET = 'pä/ss "w+rd\\=1'


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote(SECRET, safe="").lower(),
        quote_plus(SECRET),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(SECRET.encode()).decode().rstrip("="),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
        quote(base64.b64encode(SECRET.encode()).decode(), safe=""),
        repr(SECRET)[1:-1],
        'pä/ss \\"w+rd\\\\=1',
        'p\\u00e4/ss \\"w+rd\\\\=1',
    ],
)
def test_a_known_secret_is_hidden_in_every_form(form: str) -> None:
    assert redact(f"<{form}>", [SECRET]) == "<***>"


@pytest.mark.parametrize("user", ["u", "us", "use", "user"])
def test_a_known_secret_is_hidden_inside_longer_base64(user: str) -> None:
    encoded = base64.b64encode(f"{user}:correct horse battery:x".encode()).decode()
    hidden = redact(f"<{encoded}>", ["correct horse battery"])
    assert "***" in hidden
    shown = "".join(re.findall("[A-Za-z0-9+/]+", hidden))
    assert len(shown) < len(encoded) - len("correct horse battery")


def test_the_longest_secret_is_hidden_first() -> None:
    assert redact("abcd-efgh abcd", ["abcd", "abcd-efgh"]) == "*** ***"


def test_a_secret_of_fewer_than_four_characters_is_ignored() -> None:
    assert redact("abc abcd", ["abc", "", "abcd"]) == "abc ***"


@settings(deadline=None)
@given(
    secret=st.text(min_size=6, max_size=40).filter(lambda text: "*" not in text),
    before=st.text(max_size=20),
    after=st.text(max_size=20),
)
def test_no_known_secret_survives_in_any_text(secret: str, before: str, after: str) -> None:
    hidden = make_redactor([secret])(before + secret + after)
    assert secret not in hidden


EVERY_SIGN = " @ = ; : %3D ' \" private authorization cookie bearer basic eyJ"


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "a-",
        "password",
        ";password",
        "password ",
        "password" + " " * 50,
        "password=' ",
        "password=\\\\",
        "password={",
        ";password={",
        ";password='",
        ';password="\\',
        "password:'",
        "://",
        "a://",
        "x://u:",
        "a:b@",
        "\\",
        "; ",
        " ",
        "'",
        "eyJaaaaaaaaa.",
        "token ",
        "Basic a",
        "authorization",
        "sig%3D",
        "-----BEGIN PRIVATE KEY-----",
    ],
)
def test_a_long_text_does_not_hold_up_the_stream(piece: str) -> None:
    text = piece * (100_000 // len(piece)) + EVERY_SIGN
    before = time.process_time()
    redact(text)
    assert time.process_time() - before < 5


@pytest.mark.parametrize(
    "name",
    ["password", "PASSWORD", "dbPassword", "apiKey", "api_key", "Authorization", "client-secret", "token", "pwd"],
)
def test_a_field_named_like_a_credential_is_known(name: str) -> None:
    assert is_secret_field(name)


@pytest.mark.parametrize("name", ["passwordRef", "keys", "event", "streamId", "tokens", "author", "design"])
def test_a_field_named_otherwise_is_not_taken_for_a_credential(name: str) -> None:
    assert not is_secret_field(name)


class Loud:
    def __str__(self) -> str:
        return "Loud(password=c4nary)"


class Broken:
    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


def test_texts_are_hidden_at_any_depth_of_an_event() -> None:
    event = {
        "a": ["https://u:c4nary@h", ("Bearer c4nary", {"b": {"password": "c4nary", "rows": 3}})],
        "https://u:c4nary@h": 1,
        "object": Loud(),
        "bytes": b"password=c4nary",
        "secret": SecretStr("c4nary"),
        "value": SecretStr("c4nary"),
        "pins": {"token": [1234], "pwd": None, "password": True},
        "error": ValueError("Pwd=c4nary"),
        "set": {"Bearer c4nary"},
    }
    assert redact_value(event, redact) == {
        "a": ["https://***@h", ["Bearer ***", {"b": {"password": "***", "rows": 3}}]],
        "https://***@h": 1,
        "object": "Loud(password=***",
        "bytes": "b'password=***'",
        "secret": "***",
        "value": "**********",
        "pins": {"token": "***", "pwd": None, "password": True},
        "error": "ValueError: Pwd=***",
        "set": ["Bearer ***"],
    }


def test_values_become_plain_json_data() -> None:
    when = datetime(2013, 9, 30, 12, 0, tzinfo=UTC)
    value = {"n": float("nan"), "f": 1.5, "t": True, "none": None, "d": when, "d2": when.date(), 3: "x", "o": Broken()}
    assert redact_value(value, redact) == {
        "n": "nan",
        "f": 1.5,
        "t": True,
        "none": None,
        "d": "2013-09-30T12:00:00+00:00",
        "d2": "2013-09-30",
        "3": "x",
        "o": "<Broken>",
    }


def test_a_structure_that_holds_itself_ends() -> None:
    loop: list[object] = []
    loop.append(loop)
    assert "..." in str(redact_value(loop, redact))


def fail(*, chained: bool) -> None:
    try:
        raise KeyError("inner")
    except KeyError as inner:
        raise ValueError("outer") from (inner if chained else None)


@pytest.mark.parametrize(
    ("chained", "text"), [(True, "ValueError: outer, caused by KeyError: 'inner'"), (False, "ValueError: outer")]
)
def test_an_error_is_described_with_what_caused_it(chained: bool, text: str) -> None:
    with pytest.raises(ValueError, match="outer") as caught:
        fail(chained=chained)
    assert describe_error(caught.value) == text


def test_an_error_without_a_message_is_its_type() -> None:
    assert describe_error(KeyboardInterrupt()) == "KeyboardInterrupt"
