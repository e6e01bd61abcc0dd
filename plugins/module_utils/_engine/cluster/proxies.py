# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which proxy a server is reached through, by the rules of kubectl (Go's golang.org/x/net/http/httpproxy)."""

from __future__ import annotations

import ipaddress
import os
import urllib.parse
from typing import TypeAlias

from .kubeconfig import bad_configuration

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


def check_proxy(name: str, url: str) -> str:
    """The URL of a proxy. Raises: PodwrightError that names the option, and never shows the password, if it is not an HTTP proxy."""
    url = url.strip()
    try:
        parts = urllib.parse.urlsplit(url)
        is_valid = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        is_valid = False
    if not is_valid:
        scheme, separator, rest = url.partition("://")
        shown = f"{scheme}://{rest.rpartition('@')[2]}" if separator else url.rpartition("@")[2]
        raise bad_configuration(f"{name}: must be a URL such as http://proxy.example.com:3128, got {shown[:200]!r}.", hint="SOCKS is not supported.")
    return url


def proxy_of_environment(server: str, no_proxy: str | None) -> tuple[str | None, str, str | None]:
    """(URL of the proxy, the name of its variable, no_proxy) by HTTPS_PROXY or HTTP_PROXY and NO_PROXY; none for this machine. Raises: PodwrightError."""
    url = urllib.parse.urlsplit(server)
    names = ("HTTPS_PROXY", "https_proxy") if url.scheme == "https" else ("HTTP_PROXY", "http_proxy")
    name = next((name for name in names if os.environ.get(name)), None)
    no_proxy = no_proxy or os.environ.get("NO_PROXY") or os.environ.get("no_proxy")
    if name is None or is_local(url.hostname):
        return None, "", no_proxy
    proxy = os.environ[name]
    return check_proxy(name, proxy if "://" in proxy else f"http://{proxy}"), name, no_proxy


def bypasses(server: str, no_proxy: str) -> bool:
    """Whether a server is reached without the proxy.

    Args:
        server: its URL.
        no_proxy: host names (with their subdomains; `.name` and `*.name` for the subdomains alone), IP addresses and CIDRs,
            each with an optional port, separated by commas; `*` for every server.
    """
    url = urllib.parse.urlsplit(server)
    port = url.port or (443 if url.scheme == "https" else 80)
    host = (url.hostname or "").rstrip(".")
    return any(_matches(entry.strip().lower(), host, port) for entry in no_proxy.split(","))


def _matches(entry: str, host: str, port: int) -> bool:
    if entry in ("", "*"):
        return entry == "*"
    address = _address(host)
    network = _network(entry)
    if network is not None:
        return address is not None and address in network
    name, entry_port = _split_port(entry)
    if entry_port is not None and entry_port != str(port):
        return False
    if address is not None:
        return address == _address(name)
    if name.startswith("*."):
        name = name[1:]
    return host.endswith(name) if name.startswith(".") else host == name or host.endswith("." + name)


def _split_port(entry: str) -> tuple[str, str | None]:
    if entry.startswith("["):
        name, _bracket, rest = entry[1:].partition("]")
        return name, rest.removeprefix(":") or None
    name, colon, port = entry.rpartition(":")
    return (name, port) if colon and ":" not in name else (entry, None)


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text, strict=False) if "/" in text else None
    except ValueError:
        return None


def is_local(host: str | None) -> bool:
    """Whether a host is this machine."""
    address = _address(host or "")
    return host == "localhost" or (address is not None and address.is_loopback)
