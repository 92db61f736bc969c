import ipaddress
import socket

import pytest

from arcane_framework.http.addresses import host_refusal, literal_address, refusal

METADATA_SPELLINGS = [
    "169.254.169.254",
    "169.254.169.254.",
    "169.254.0.1",
    "169.254.170.2",
    "2852039166",
    "0xA9FEA9FE",
    "0xa9fea9fe",
    "0XA9FEA9FE",
    "025177524776",
    "0251.0376.0251.0376",
    "0251.254.169.254",
    "0xa9.0xfe.0xa9.0xfe",
    "0xa9.254.0251.254",
    "169.254.43518",
    "169.254.0xa9fe",
    "169.16689662",
    "0xa9.16689662",
    "0x000a9.254.169.254",
    "[fe80::1]",
    "fe80::1",
    "fe80::1%eth0",
    "FE80::A9FE:A9FE",
    "febf::1",
    "fd00:ec2::254",
    "fd00:0ec2:0000:0000:0000:0000:0000:0254",
    "FD00:EC2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "0:0:0:0:0:ffff:a9fe:a9fe",
    "::FFFF:A9FE:A9FE",
    "::169.254.169.254",
    "::a9fe:a9fe",
    "::ffff:0:169.254.169.254",
    "2002:a9fe:a9fe::1",
    "2002:a9fe:a9fe::",
    "64:ff9b::169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1:a9fe:a9:fe00::",
    "64:ff9b:1::a9fe:a9fe",
    "2001:0:a9fe:a9fe::1",
    "2001::5601:5601",
    "2001:db8::5efe:169.254.169.254",
    "2001:db8::200:5efe:a9fe:a9fe",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "metadata.google.internal",
    "METADATA.google.internal.",
    "instance-data.ec2.internal",
]

INTERNAL_SPELLINGS = [
    "127.0.0.1",
    "127.1",
    "127.255.255.254",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "017700000001",
    "127.0.0.1.",
    "::1",
    "[::1]",
    "0:0:0:0:0:0:0:1",
    "::ffff:127.0.0.1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "0.0.0.0",
    "0",
    "::",
    "10.0.0.1",
    "10.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "192.168.257",
    "::ffff:10.0.0.1",
    "100.64.0.1",
    "fc00::1",
    "fd12:3456:789a::1",
    "fec0::1",
    "224.0.0.1",
    "239.255.255.255",
    "ff02::1",
    "240.0.0.1",
    "255.255.255.255",
    "198.18.0.1",
    "192.0.2.1",
    "2001:db8::1",
    "64:ff9b::c0a8:101",
]

PUBLIC_SPELLINGS = ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101", "172.32.0.1"]


@pytest.mark.parametrize("host", METADATA_SPELLINGS)
@pytest.mark.parametrize("only_public", [False, True])
def test_metadata_addresses_are_refused_in_every_spelling(host: str, only_public: bool) -> None:
    assert host_refusal(host, only_public=only_public) is not None


@pytest.mark.parametrize("host", INTERNAL_SPELLINGS)
def test_internal_addresses_are_refused_only_where_they_have_to_be_public(host: str) -> None:
    assert host_refusal(host, only_public=True) is not None
    assert host_refusal(host, only_public=False) is None


@pytest.mark.parametrize("host", PUBLIC_SPELLINGS)
def test_public_addresses_are_open(host: str) -> None:
    assert host_refusal(host, only_public=True) is None


@pytest.mark.parametrize(
    "host", [each for each in METADATA_SPELLINGS + INTERNAL_SPELLINGS if ":" not in each and not each.endswith(".")]
)
def test_spellings_mean_what_the_resolver_takes_them_for(host: str) -> None:
    address = literal_address(host)
    if address is None:
        assert "internal" in host
        return
    found = socket.getaddrinfo(host, 80, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    assert {each[4][0] for each in found} == {str(address)}


@pytest.mark.parametrize(
    "host", ["shop.example", "localhost", "1.2.3.4.5", "256.1.1.1.nip.io", "abc", "", "x0a", "1.2.3.4 x", "one.127"]
)
def test_a_name_is_no_address(host: str) -> None:
    assert literal_address(host) is None
    assert host_refusal(host, only_public=True) is None


@pytest.mark.parametrize(
    ("address", "only_public", "reason"),
    [
        ("169.254.169.254", False, "169.254.169.254 is a link-local address, where clouds keep their metadata"),
        (
            "64:ff9b::a9fe:a9fe",
            False,
            "64:ff9b::a9fe:a9fe holds 169.254.169.254, a link-local address, where clouds keep their metadata",
        ),
        ("fd00:ec2::254", False, "fd00:ec2::254 is a metadata address of a cloud"),
        ("127.0.0.1", True, "127.0.0.1 is a loopback address"),
        ("0.0.0.0", True, "0.0.0.0 is the unspecified address"),
        ("ff02::1", True, "ff02::1 is a multicast address"),
        ("10.0.0.1", True, "10.0.0.1 is a private or reserved address"),
    ],
)
def test_a_refusal_says_what_the_address_is(address: str, only_public: bool, reason: str) -> None:
    assert refusal(ipaddress.ip_address(address), only_public=only_public) == reason
