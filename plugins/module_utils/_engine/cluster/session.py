# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Credentials and the connections that were opened with them; renewed once for all threads that share them."""

from __future__ import annotations

import threading

from ..libraries import load

USER_AGENT = "podwright"


class Session:
    """One generation of credentials: its `configuration`, a `pool` of connections and the `headers` of each request."""

    def __init__(self, configuration, connections: int):
        self.configuration = configuration
        self.pool = _open_pool(configuration, connections)
        self.headers = load("urllib3").HTTPHeaderDict({"User-Agent": USER_AGENT})
        for name, value in configuration.headers():
            self.headers.add(name, value.encode().decode("latin-1"))  # http.client writes Latin-1: these are the bytes of UTF-8

    def close(self) -> None:
        """Close every idle connection at once: clearing alone leaves that to the garbage collector."""
        for key in self.pool.pools.keys():  # noqa: SIM118  the container itself cannot be iterated over
            self.pool.pools[key].close()
        self.pool.clear()


class Sessions:
    """The current Session, and those it replaced, whose connections other threads may still use.

    Args:
        configuration: a Configuration.
        connections: how many connections are kept at most.

    Attributes:
        current: the Session in use.
    """

    def __init__(self, configuration, connections: int):
        self._connections = connections
        self._lock = threading.Lock()
        self._retired: list[Session] = []
        self.current = Session(configuration, connections)

    def at(self, now: float) -> Session:
        """The Session to use at `now` (seconds since the epoch): a new one if the credentials have expired. Raises: PodwrightError."""
        session = self.current
        expires_at = session.configuration.expires_at
        return self.renew(session) if expires_at is not None and now >= expires_at else session

    def renew(self, used: Session) -> Session:
        """The Session after `used` was refused; whoever comes second gets what the first one made. Raises: PodwrightError."""
        with self._lock:
            if self.current is used:
                self.current = Session(used.configuration.refresh(), self._connections)
                self._retired.append(used)
            return self.current

    def close(self) -> None:
        """Close every connection."""
        for session in [*self._retired, self.current]:
            session.close()


def _open_pool(configuration, connections: int):
    urllib3 = load("urllib3")
    arguments = {"maxsize": connections, "num_pools": 2}
    if configuration.tls:
        arguments["ssl_context"] = configuration.tls
        if configuration.tls.verify_mode == 0:
            arguments["cert_reqs"] = "CERT_NONE"
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        if configuration.tls_server_name:
            arguments["server_hostname"] = configuration.tls_server_name
    if configuration.proxy:
        return urllib3.ProxyManager(configuration.proxy, proxy_headers=configuration.proxy_headers(), **arguments)
    return urllib3.PoolManager(**arguments)
