"""Which addresses a stream may connect to, in whatever spelling they come; pure."""

import ipaddress
import re
import socket
from collections.abc import Iterator
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NEVER: Final[tuple[tuple[Network, str], ...]] = tuple(
    (ipaddress.ip_network(network), reason)
    for network, reason in (
        ("169.254.0.0/16", "a link-local address, where clouds keep their metadata"),
        ("fe80::/10", "a link-local address"),
        ("fd00:ec2::/32", "a metadata address of a cloud"),  # AWS
        ("fd20:ce::254/128", "a metadata address of a cloud"),  # Google
        ("fd00:42::42/128", "a metadata address of a cloud"),  # Scaleway
        ("100.100.100.200/32", "a metadata address of a cloud"),  # Alibaba
        ("168.63.129.16/32", "a metadata address of a cloud"),  # Azure
        ("192.0.0.192/32", "a metadata address of a cloud"),  # Oracle
    )
)

# inet_aton itself also takes whatever follows a blank.
_INET_ATON: Final = re.compile(r"[0-9A-Fa-fXx.]+", re.ASCII)

_METADATA_NAMES: Final = frozenset(
    {"metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal"}
)

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_NAT64_LOCAL: Final = ipaddress.IPv6Network("64:ff9b:1::/48")
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")
_TRANSLATED: Final = ipaddress.IPv6Network("::ffff:0:0:0/96")
_ISATAP: Final = (0x00005EFE, 0x02005EFE)


def literal_address(host: str) -> Address | None:
    """The address that a resolver makes of `host` without asking anybody; None when it is a name.

    Besides the usual spellings these are the ones of C's inet_aton: a single number, octal and hexadecimal
    parts, fewer than four parts; and a dot at the end, brackets, an IPv6 zone.
    """
    text = host.strip("[]").removesuffix(".")
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(text)) if _INET_ATON.fullmatch(text) else None
    except OSError:
        return None


def refusal(address: Address, *, only_public: bool) -> str | None:
    """Why no connection may go to `address`; None when it may.

    Args:
        address: As resolved.
        only_public: Refuse loopback, private and other addresses that are not public, too.
    """
    forms = list(_forms(address))
    for form in forms:
        for network, reason in _NEVER:
            if form in network:
                return _said(address, form, reason)
    if only_public:
        for form in forms:
            if (kind := _not_public(form)) is not None:
                return _said(address, form, kind)
    return None


def host_refusal(host: str, *, only_public: bool) -> str | None:
    """The same for a host as a URL names it: by what can be said before it is resolved."""
    address = literal_address(host)
    if address is not None:
        return refusal(address, only_public=only_public)
    if host.lower().removesuffix(".") in _METADATA_NAMES:
        return "it is the name of a cloud's metadata service"
    return None


def _said(address: Address, form: Address, reason: str) -> str:
    return f"{address} is {reason}" if form == address else f"{address} holds {form}, {reason}"


def _not_public(address: Address) -> str | None:
    if address.is_unspecified:
        return "the unspecified address"
    if address.is_loopback:
        return "a loopback address"
    if address.is_multicast:
        return "a multicast address"
    site_local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    return None if address.is_global and not site_local else "a private or reserved address"


def _forms(address: Address) -> Iterator[Address]:
    """The address, and the IPv4 addresses that a gateway or the system itself takes it for."""
    if isinstance(address, ipaddress.IPv4Address):
        yield address
        return
    if address.ipv4_mapped is not None:
        # The system connects to the inner address: the outer form says nothing of its own.
        yield address.ipv4_mapped
        return
    yield address
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    number = int(address)
    if address in _NAT64 or address in _TRANSLATED or (address in _COMPATIBLE and number > 0xFFFF):
        yield ipaddress.IPv4Address(number & 0xFFFFFFFF)
    if address in _NAT64_LOCAL:
        yield from _nat64_local(number)
    if (number >> 32) & 0xFFFFFFFF in _ISATAP:
        yield ipaddress.IPv4Address(number & 0xFFFFFFFF)


def _nat64_local(number: int) -> Iterator[Address]:
    # RFC 6052: behind prefixes of 48, 56, 64 and 96 bits; bits 64 to 71 stay out of it.
    low = number & ((1 << 80) - 1)
    yield ipaddress.IPv4Address((low >> 64) << 16 | (low >> 40) & 0xFFFF)
    yield ipaddress.IPv4Address(((low >> 64) & 0xFF) << 24 | (low >> 32) & 0xFFFFFF)
    yield ipaddress.IPv4Address((low >> 24) & 0xFFFFFFFF)
    yield ipaddress.IPv4Address(low & 0xFFFFFFFF)
