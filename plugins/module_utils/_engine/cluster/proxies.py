# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which proxy leads to a server, by the rules of kubectl (Go's httpproxy)."""

from __future__ import annotations

import ipaddress
import os
import urllib.parse

from .kubeconfig import bad_configuration


def check_proxy(name: str, address: str) -> str:
    """The proxy's address. Raises: PodwrightError that names the option if it is not one of HTTP; its password is not shown."""
    try:
        parts = urllib.parse.urlsplit(address.strip())
        is_valid = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        is_valid = False
    if not is_valid:
        shown = address.strip().partition("://")
        shown = "".join([*shown[:2], shown[2].rpartition("@")[2]] if shown[1] else [address.strip().rpartition("@")[2]])
        raise bad_configuration(f"{name}: must be an address such as http://proxy.example.com:3128, got {shown[:200]!r}.", hint="SOCKS is not supported.")
    return address.strip()


def proxy_of_environment(server: str, no_proxy: str | None) -> tuple[str | None, str | None]:
    """(proxy, what is reached without it) by HTTPS_PROXY or HTTP_PROXY and NO_PROXY; this machine is reached without one."""
    address = urllib.parse.urlsplit(server)
    names = ("HTTPS_PROXY", "https_proxy") if address.scheme == "https" else ("HTTP_PROXY", "http_proxy")
    name = next((name for name in names if os.environ.get(name)), None)
    without = no_proxy or os.environ.get("NO_PROXY") or os.environ.get("no_proxy")
    if name is None or _is_local(address.hostname):
        return None, without
    given = os.environ[name]
    return check_proxy(name, given if "://" in given else f"http://{given}"), without


def bypasses(server: str, no_proxy: str) -> bool:
    """Whether a server is reached without the proxy.

    Args:
        server: its address.
        no_proxy: host names (with their subdomains; `.name` and `*.name` are the subdomains alone), IP addresses and CIDRs,
            each perhaps with a port, separated by commas; `*` is everything.
    """
    address = urllib.parse.urlsplit(server)
    port = address.port or (443 if address.scheme == "https" else 80)
    host = (address.hostname or "").rstrip(".")
    return any(_matches(entry.strip().lower(), host, port) for entry in no_proxy.split(","))


def _matches(entry: str, host: str, port: int) -> bool:
    if entry in ("", "*"):
        return entry == "*"
    number = _number(host)
    network = _network(entry)
    if network is not None:
        return number is not None and number in network
    name, entry_port = _split_port(entry)
    if entry_port is not None and entry_port != str(port):
        return False
    if number is not None:
        return number == _number(name)
    if name.startswith("*."):
        name = name[1:]
    return host.endswith(name) if name.startswith(".") else host == name or host.endswith("." + name)


def _split_port(entry: str) -> tuple[str, str | None]:
    if entry.startswith("["):
        name, _bracket, rest = entry[1:].partition("]")
        return name, rest.removeprefix(":") or None
    name, colon, port = entry.rpartition(":")
    return (name, port) if colon and ":" not in name else (entry, None)


def _number(text: str):
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _network(text: str):
    try:
        return ipaddress.ip_network(text, strict=False) if "/" in text else None
    except ValueError:
        return None


def _is_local(host: str | None) -> bool:
    number = _number(host or "")
    return host == "localhost" or (number is not None and number.is_loopback)
