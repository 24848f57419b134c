"""Under which names the service may be asked: the guard against DNS rebinding.

A web page elsewhere can make its own name point at this machine, and would then be read by the browser as if the
service were that page's. What gives it away is the name in the request's Host header.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from contextlib import suppress

_WILDCARDS = ("0.0.0.0", "::", "")


class AllowedHosts:
    """The names of this service.

    Loopback names are always allowed, and so is the address that the service listens on. Where it listens on every
    address of the machine, every numeric address is (a number cannot be made to point elsewhere), and the
    machine's own name.

    Args:
        bound: Address that the service listens on.
        extra: Further names, e.g. the one that a proxy in front of it has; without port.
    """

    def __init__(self, bound: str, extra: Iterable[str] = ()) -> None:
        self._any_address = bound in _WILDCARDS
        names = [bound, "localhost", *extra]
        if self._any_address:
            names.append(socket.gethostname())
        self._names = {name.lower().strip("[]") for name in names if name not in _WILDCARDS}

    def allows(self, host: str) -> bool:
        """Whether a Host header, with or without port, names this service."""
        name = host_name(host)
        if name in self._names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or self._any_address


def is_host_name(text: str) -> bool:
    """Whether a text is the name or address of a host and no more, as a Host header bears it."""
    name = text.strip("[]")
    with suppress(ValueError):
        ipaddress.ip_address(name)
        return True
    return bool(name) and not name.endswith(".") and not set(name) & set(":/*?#@ ")


def host_name(host: str) -> str:
    """Return the name or address in a Host header, without port or brackets, in small letters."""
    name = host.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.rpartition(":")[0] if ":" in name else name


def is_loopback(address: str) -> bool:
    """Whether what listens on an address is reached from this machine alone."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
