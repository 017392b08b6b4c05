"""Where an IP address leads: to the public internet, or to somewhere that is nobody's business.

An address that carries another inside (IPv4-mapped, 6to4, NAT64, Teredo, ISATAP) is of the
public internet only if that one is, too.
"""

from __future__ import annotations

import ipaddress
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NOT_PUBLIC: Final = tuple(
    (ipaddress.ip_network(net), what)
    for net, what in (
        ("100.64.0.0/10", "shared by a carrier (RFC 6598)"),
        ("192.0.0.0/24", "set aside for protocols (RFC 6890)"),
        ("192.88.99.0/24", "a relay of 6to4 (RFC 7526)"),
        ("168.63.129.16/32", "a cloud's own, the same for each of its machines"),
        ("64:ff9b:1::/48", "for translation inside a network (RFC 8215)"),
        ("100::/64", "for what is thrown away (RFC 6666)"),
        ("2001:db8::/32", "for documentation (RFC 3849)"),
        ("3fff::/20", "for documentation (RFC 9637)"),
        ("5f00::/16", "for segments of a route (RFC 9602)"),
        ("fec0::/10", "private to a site (RFC 3879)"),
    )
)
"""Said here, for the standard library has learnt of some of them in later versions alone."""

_TRANSLATED: Final = ipaddress.ip_network("64:ff9b::/96")
_CLOTHES: Final = (
    ipaddress.ip_network("::ffff:0:0/96"),
    ipaddress.ip_network("2001::/32"),
    ipaddress.ip_network("2002::/16"),
    _TRANSLATED,
)
"""IPv4-mapped, Teredo, 6to4, NAT64: these lead where the address inside leads, and nowhere else."""

_COMPATIBLE: Final = ipaddress.ip_network("::/96")
_ISATAP: Final = frozenset({0x00005EFE, 0x02005EFE})


def not_public(address: Address) -> str | None:
    """Why an address is none of the public internet; ``None`` where it is one."""
    for inside in _carried(address):
        why = not_public(inside)
        if why is not None:
            return f"{why} ({inside}, inside {address})"
    # What it carries may be public, and it itself lead inside all the same.
    if any(address in net for net in _CLOTHES):
        return None
    for what, is_so in (
        ("loopback", address.is_loopback),
        ("unspecified", address.is_unspecified),
        ("link-local", address.is_link_local),
        ("multicast", address.is_multicast),
        *((what, address in net) for net, what in _NOT_PUBLIC),
        ("private", address.is_private),
        ("reserved", address.is_reserved),
        ("not of the public internet", not address.is_global),
    ):
        if is_so:
            return what
    return None


def _carried(address: Address) -> list[ipaddress.IPv4Address]:
    """The IPv4 addresses that an IPv6 address carries inside."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    low = int(address) & 0xFFFFFFFF
    compatible = address in _COMPATIBLE and low > 1
    isatap = (int(address) >> 32) & 0xFFFFFFFF in _ISATAP
    if address in _TRANSLATED or compatible or isatap:
        found.append(ipaddress.IPv4Address(low))
    return [each for each in found if each is not None]


def literal(host: str) -> Address | None:
    """The address that a host is written as, in brackets or not; ``None`` for a name."""
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def disguised(host: str) -> bool:
    """Whether a host is a number that some resolvers read as an IPv4 address.

    Such as ``2130706433``, ``0x7f.1``, ``0177.0.0.1`` and ``127.1``: no name of a host ends
    in a label of digits, so what does and is no dotted quad is refused.
    """
    if literal(host) is not None:
        return False
    last = host.rstrip(".").rpartition(".")[2].lower()
    digits = last.removeprefix("0x")
    return bool(last) and (last.isdigit() or (last != digits and all(c in _HEX for c in digits)))


_HEX: Final = frozenset("0123456789abcdef")
