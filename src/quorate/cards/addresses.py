"""Where an IP address leads: to the public internet, or to somewhere that is nobody's business.

An address that carries another inside (IPv4-mapped, 6to4, NAT64, Teredo) leads where that one
leads, too.
"""

from __future__ import annotations

import ipaddress
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_CGNAT: Final = ipaddress.ip_network("100.64.0.0/10")
_NAT64: Final = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
_COMPATIBLE: Final = ipaddress.ip_network("::/96")
_SITE_LOCAL: Final = ipaddress.ip_network("fec0::/10")
_RELAY: Final = ipaddress.ip_network("192.88.99.0/24")
_ISATAP: Final = frozenset({0x00005EFE, 0x02005EFE})


def not_public(address: Address) -> str | None:
    """Why an address is none of the public internet; ``None`` where it is one."""
    inside = _carried(address)
    if inside is not None:
        why = not_public(inside)
        return None if why is None else f"{why} ({inside}, inside {address})"
    for what, is_so in (
        ("loopback", address.is_loopback),
        ("unspecified", address.is_unspecified),
        ("link-local", address.is_link_local),
        ("multicast", address.is_multicast),
        ("shared by a carrier (RFC 6598)", address in _CGNAT),
        ("private", address.is_private or address in _SITE_LOCAL),
        ("reserved", address.is_reserved or address in _RELAY),
        ("not of the public internet", not address.is_global),
    ):
        if is_so:
            return what
    return None


def _carried(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address carries inside, if it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    teredo = address.teredo
    found = address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)
    low = int(address) & 0xFFFFFFFF
    translated = any(address in net for net in _NAT64)
    compatible = address in _COMPATIBLE and low > 1
    isatap = (int(address) >> 32) & 0xFFFFFFFF in _ISATAP
    if found is None and (translated or compatible or isatap):
        return ipaddress.IPv4Address(low)
    return found


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
