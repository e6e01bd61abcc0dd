# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The SPIFFE Workload API in the containers of a pod, through the SPIFFE CSI driver (https://github.com/spiffe/spiffe-csi)."""

from __future__ import annotations

from ansible.module_utils.parsing.convert_bool import boolean

from ..errors import option_error
from ..values import Manifest
from .options import check_keys

VOLUME = "spiffe"
DEFAULTS = {"driver": "csi.spiffe.io", "mount_path": "/spiffe-workload-api", "socket": "spire-agent.sock"}


def read_spiffe(value: object) -> dict[str, str] | None:
    """The settings of the option `spiffe`, defaults merged in, or None if it is off. Raises: PodwrightError."""
    if isinstance(value, dict):
        check_keys("spiffe", value, DEFAULTS)
        return DEFAULTS | value
    try:
        return DEFAULTS if value is not None and boolean(value) else None
    except TypeError:
        raise option_error("spiffe", f"must be true, false or a mapping with {', '.join(DEFAULTS)}, got {value!r}.") from None


def build_volume(settings: dict[str, str]) -> tuple[Manifest, Manifest]:
    """The volume of the CSI driver, and its mount in every container."""
    volume = {"name": VOLUME, "csi": {"driver": settings["driver"], "readOnly": True}}
    return volume, {"name": VOLUME, "mountPath": settings["mount_path"], "readOnly": True}


def endpoint_variable(settings: dict[str, str] | None) -> dict[str, str]:
    """The environment variable with the socket of the Workload API (SPIFFE Workload Endpoint, section 4)."""
    return {"SPIFFE_ENDPOINT_SOCKET": f"unix://{settings['mount_path']}/{settings['socket']}"} if settings else {}
