# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Requests to servers outside of the cluster, limited in time and size."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ..libraries import load
from ..threads import call_in_threads

if TYPE_CHECKING:
    from urllib3 import PoolManager

TIMEOUT = 10  # seconds in which a response must be complete
MAX_BYTES = 10 << 20  # of a response


def request_url(method: str, url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """The status and the content of a response. Raises: OSError or ValueError that says why there is none."""
    urllib3 = load("urllib3")
    try:
        with urllib3.PoolManager() as pool:
            [answer] = call_in_threads(lambda send: send(), [partial(_send, pool, method, url, body, headers)], 1, pool.clear, TIMEOUT)
    except (urllib3.exceptions.HTTPError, TimeoutError) as error:
        raise OSError(str(error) or f"no response within {TIMEOUT} s") from error
    return answer


def _send(pool: PoolManager, method: str, url: str, body: bytes | None, headers: dict[str, str] | None) -> tuple[int, bytes]:
    response = pool.request(method, url, body=body, headers=headers, timeout=TIMEOUT, retries=False, preload_content=False)
    try:
        content = bytes(response.read(MAX_BYTES + 1))
    finally:
        response.close()
    if len(content) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES >> 20} MiB")
    return response.status, content
