# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Exec plugins of a kubeconfig (client.authentication.k8s.io, https://kubernetes.io/docs/reference/config-api/client-authentication.v1/)."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import PodwrightError
from ..masking import Masker
from ..objects.timestamps import parse_timestamp
from ..text import CONTROL_CHARACTERS, decode, strip_escapes
from .kubeconfig import bad_configuration, plugin_secrets, shown_path

if TYPE_CHECKING:
    from .kubeconfig import Entry

TIMEOUT = 120
_MAX_STDERR = 1000  # characters in an error


@dataclass(frozen=True)
class ExecCredential:
    """What a plugin returned: a token, a certificate and its key in PEM, or both; `expires_at` is in seconds since the epoch."""

    token: str = field(repr=False)
    certificate: bytes
    key: bytes = field(repr=False)
    expires_at: float | None


def run_plugin(plugin: Entry, cluster: Entry, authority: bytes, source: str) -> ExecCredential:
    """Run the exec plugin of a kubeconfig's user.

    Args:
        plugin: the field `exec` of the user.
        authority: the certificates of the cluster's authority in PEM, for a plugin that is provided with the cluster.
        source: of the kubeconfig, as errors name it.

    Raises: PodwrightError if it fails; it never shows what the plugin wrote to its standard output.
    """
    command, api_version = str(plugin.get("command") or ""), str(plugin.get("apiVersion") or "")
    if not command or not api_version:
        raise bad_configuration(f"The exec plugin of {source} must have a command and an apiVersion.")
    title = f"The exec plugin {shown_path(command)!r} of {source}"
    environment = dict(os.environ)
    environment.update({str(item["name"]): str(item.get("value") or "") for item in plugin.get("env") or []})
    try:
        environment["KUBERNETES_EXEC_INFO"] = json.dumps(_exec_info(plugin, cluster, authority, api_version))
    except (TypeError, ValueError, RecursionError):
        raise bad_configuration(f"The extension of {source} for exec plugins must be a value of JSON.") from None
    arguments = [command, *map(str, plugin.get("args") or [])]
    try:
        # The user's kubeconfig names the program, as for kubectl. There is no AnsibleModule, whose run_command pylint asks for.
        done = subprocess.run(  # noqa: S603  # pylint: disable=ansible-bad-function
            arguments, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT, check=False
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its command or environment is invalid"
        raise _plugin_error(f"{title} cannot be started: {reason}.", plugin) from None
    except subprocess.TimeoutExpired as error:
        raise _plugin_error(f"{title} did not exit within {TIMEOUT} s{_detail(error.stderr)}.", plugin) from None
    if done.returncode:
        raise _plugin_error(f"{title} failed with exit code {done.returncode}{_detail(done.stderr)}.", plugin)
    return _read_credential(done, api_version, title, plugin)


def _exec_info(plugin: Entry, cluster: Entry, authority: bytes, api_version: str) -> dict[str, Any]:
    """The ExecCredential that a plugin reads from its environment."""
    spec: dict[str, Any] = {"interactive": False}
    if plugin.get("provideClusterInfo"):
        names = ("server", "tls-server-name", "insecure-skip-tls-verify", "proxy-url")
        info = {name: cluster[name] for name in names if cluster.get(name)}
        if authority:
            info["certificate-authority-data"] = base64.b64encode(authority).decode()
        for extension in cluster.get("extensions") or []:
            if extension.get("name") == "client.authentication.k8s.io/exec":
                info["config"] = extension.get("extension")
        spec["cluster"] = info
    return {"apiVersion": api_version, "kind": "ExecCredential", "spec": spec}


def _read_credential(done: subprocess.CompletedProcess[bytes], api_version: str, title: str, plugin: Entry) -> ExecCredential:
    try:
        printed = json.loads(done.stdout)
    except (ValueError, RecursionError):
        raise _plugin_error(f"{title} did not print JSON{_detail(done.stderr)}.", plugin) from None
    if not isinstance(printed, dict) or printed.get("kind") != "ExecCredential" or printed.get("apiVersion") != api_version:
        raise _plugin_error(f"{title} must print an ExecCredential of {api_version}{_detail(done.stderr)}.", plugin)
    status = printed.get("status")
    if not isinstance(status, dict):
        raise _plugin_error(f"{title} printed an ExecCredential without a status{_detail(done.stderr)}.", plugin)
    token, certificate, key = (str(status.get(name) or "") for name in ("token", "clientCertificateData", "clientKeyData"))
    if bool(certificate) != bool(key):
        raise _plugin_error(f"{title} must print both clientCertificateData and clientKeyData, or neither.", plugin)
    if not token.strip() and not certificate:
        raise _plugin_error(f"{title} printed neither a token nor a certificate{_detail(done.stderr)}.", plugin)
    expires_at = _read_time(status["expirationTimestamp"], title, plugin) if status.get("expirationTimestamp") else None
    return ExecCredential(token, certificate.encode(), key.encode(), expires_at)


def _read_time(text: object, title: str, plugin: Entry) -> float:
    try:
        return parse_timestamp(str(text))
    except (ValueError, OverflowError):
        raise _plugin_error(f"{title} must print an expirationTimestamp as in RFC 3339.", plugin) from None


def _detail(stderr: bytes | None) -> str:
    """What a plugin wrote to its standard error, as part of a message."""
    text = strip_escapes(decode(stderr or b""))
    text = " ".join(CONTROL_CHARACTERS.sub(" ", text).split())[-_MAX_STDERR:].rstrip(".")
    return f": {text}" if text else ""


def _plugin_error(message: str, plugin: Entry) -> PodwrightError:
    hint = _detail(str(plugin.get("installHint") or "").encode()).removeprefix(": ")
    message = Masker(plugin_secrets(plugin)).mask(message)
    return PodwrightError(message, reason="ExecPlugin", hint=f"{hint}." if hint else "Run the command of the plugin in a terminal to see what it needs.")
