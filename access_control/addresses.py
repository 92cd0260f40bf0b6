"""Where a request comes from, behind any number of the company's own proxies.

Each proxy appends the address of whoever called it to X-Forwarded-For, so the header is true from the right for as long
as it was written by a proxy that is trusted; everything further left is what somebody chose to send.
"""

import dataclasses
import ipaddress
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

UNIX_SOCKET = "unix"
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


@dataclasses.dataclass(frozen=True)
class TrustedProxies:
    """The networks in which the company's proxies stand. ``unix_socket``: one calls through a local socket."""

    networks: tuple[Network, ...] = ()
    unix_socket: bool = False

    def __contains__(self, address: object) -> bool:
        return any(address in network for network in self.networks)


def trusted_proxies(entries: Iterable[str]) -> TrustedProxies:
    """The proxies named by ``entries``: addresses, networks such as 10.0.0.0/8, or ``unix``.

    Raises ValueError, with a sentence, for anything else and for a network that is everybody.
    """
    networks: list[Network] = []
    unix_socket = False
    for entry in (text.strip() for text in entries):
        if entry == UNIX_SOCKET:
            unix_socket = True
        elif entry:
            networks.append(_network(entry))
    return TrustedProxies(tuple(networks), unix_socket)


def _network(entry: str) -> Network:
    try:
        network: Network = ipaddress.ip_network(entry)
    except ValueError as error:
        raise ValueError(f"{entry} is no address and no network ({error}).") from None
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        inner = network.network_address.ipv4_mapped
        network = ipaddress.IPv4Network((int(inner or 0), network.prefixlen - 96))
    if not network.prefixlen:
        raise ValueError(f"{entry} is everybody; then anybody could write any address into the ledger.")
    return network


def client_address(peer: str, forwarded: str, *, trusted: TrustedProxies) -> str | None:
    """Who called: the right-most address of X-Forwarded-For (``forwarded``) that is no trusted proxy's.

    A peer that is no trusted proxy is itself the caller, whatever it says. Where an entry is no address, nothing left
    of it is believed and the proxy that wrote it is named. None: a local socket's caller, of whom nothing is known.
    """
    nearest = address_in(peer)
    if nearest not in trusted if nearest else not trusted.unix_socket:
        return str(nearest) if nearest else None
    for entry in reversed(forwarded.split(",")) if forwarded.strip() else ():
        found = address_in(entry)
        if found is None:
            break
        nearest = found
        if found not in trusted:
            break
    return str(nearest) if nearest else None


def address_in(text: str) -> Address | None:
    """The address that ``text`` names, without port, brackets or zone, a mapped one as IPv4; None when it is none."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text, bracket, port = text[1:].partition("]")
        if not bracket or not _is_port(port):
            return None
    elif text.count(":") == 1:
        text, colon, port = text.partition(":")
        if not _is_port(colon + port):
            return None
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def _is_port(text: str) -> bool:
    """Nothing, or a colon with a number."""
    return not text or (text[0] == ":" and text[1:].isascii() and text[1:].isdigit())
