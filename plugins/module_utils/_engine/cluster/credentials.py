# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who we are to the API server: a token, a password or a certificate, from options, a kubeconfig's user or its exec plugin."""

from __future__ import annotations

import base64
import binascii
import datetime
import json
import os
import re
import subprocess
from dataclasses import dataclass, field, replace

from ..errors import PodwrightError
from ..libraries import load
from ..text import strip_escapes
from .kubeconfig import bad_configuration, shown_path

PLUGIN_SECONDS = 120
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Credentials:
    """How a request is authenticated. `certificate` and `key` are PEM (bytes); `expires_at` is in seconds since the epoch, or None."""

    token: str = field(default="", repr=False)
    username: str = ""
    password: str = field(default="", repr=False)
    certificate: bytes = b""
    key: bytes = field(default=b"", repr=False)
    expires_at: float | None = None

    def authorization(self) -> str:
        """The value of the Authorization header, or an empty string."""
        if self.token:
            return f"Bearer {self.token}"
        return basic(self.username, self.password) if self.username else ""

    @property
    def secrets(self) -> set[str]:
        """What must never be shown, in each form in which it is sent."""
        return {self.token, self.password, self.authorization().partition(" ")[2]} - {""}


def basic(username: str, password: str) -> str:
    """The value of a header for basic authentication (RFC 7617, in UTF-8)."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def clean(name: str, value) -> str:
    """A value that goes into a header. Raises: PodwrightError that names the option, never the value, if it has control characters."""
    text = str(value)
    if _CONTROL.search(text):
        raise bad_configuration(f"{name}: must not contain control characters such as line feeds.", hint="")
    return text


def clean_token(name: str, value) -> str:
    """A token without white space around it, as a file or a command gives it. Raises: PodwrightError that names the option, never the value."""
    text = str(value).strip()
    if not text.isascii() or not text.isprintable():
        raise bad_configuration(f"{name}: must contain nothing but printable ASCII characters.", hint="Check how the token was copied or read.")
    return text


def read_file(name: str, path: str, source: str) -> bytes:
    """The content of a file that an option or a kubeconfig's field names. Raises: PodwrightError."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        raise bad_configuration(f"The file of {name} does not exist: {shown_path(path)} (from {source}).", hint="Correct the path.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not a path"
        raise bad_configuration(f"The file of {name} cannot be read: {shown_path(path)}: {reason} (from {source}).", hint="") from None


def read_pem(entry: dict, name: str, source: str) -> bytes:
    """PEM from the field `NAME-data` (base64), which counts first, or the file of the field `NAME`; empty if neither is given."""
    data = entry.get(f"{name}-data")
    if data:
        try:
            return base64.b64decode(str(data), validate=False)
        except (binascii.Error, ValueError):
            raise bad_configuration(f"{name}-data: must be base64 (from {source}).") from None
    return read_file(name, entry[name], source) if entry.get(name) else b""


def of_user(user: dict, cluster: dict, source: str) -> Credentials:
    """The credentials of a kubeconfig's user, in the order of kubectl: what is written there counts before an exec plugin.

    Raises: PodwrightError; a plugin that fails is never passed over.
    """
    token = ""
    if user.get("tokenFile"):
        token = clean_token("tokenFile", read_file("tokenFile", user["tokenFile"], source).decode("utf-8", "replace"))
    if not token and user.get("token"):
        token = clean_token("token", user["token"])
    given = Credentials(
        token=token,
        username=clean("username", user.get("username") or ""),
        password=clean("password", user.get("password") or ""),
        certificate=read_pem(user, "client-certificate", source),
        key=read_pem(user, "client-key", source),
    )
    if given.token or given.username or given.certificate:
        return given
    if user.get("exec"):
        return _run_plugin(user["exec"], cluster, source)
    if user.get("auth-provider"):
        return replace(given, token=_ask_provider(user, source))
    return given


# -- exec plugins (client.authentication.k8s.io) --------------------------------------------------------------


def _run_plugin(plugin: dict, cluster: dict, source: str) -> Credentials:
    command, api_version = str(plugin.get("command") or ""), str(plugin.get("apiVersion") or "")
    if not command or not api_version:
        raise bad_configuration(f"The exec plugin of {source} must have a command and an apiVersion.")
    about = f"The exec plugin {shown_path(command)!r} of {source}"
    environment = dict(os.environ)
    environment.update({str(item["name"]): str(item.get("value") or "") for item in plugin.get("env") or []})
    environment["KUBERNETES_EXEC_INFO"] = json.dumps(_describe_request(plugin, cluster, api_version, source))
    words = [command, *map(str, plugin.get("args") or [])]
    try:
        done = subprocess.run(words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=PLUGIN_SECONDS, check=False)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its command or environment is invalid"
        raise _plugin_error(f"{about} cannot be started: {reason}.", plugin) from None
    except subprocess.TimeoutExpired as error:
        raise _plugin_error(f"{about} did not answer within {PLUGIN_SECONDS} s{_words(error.stderr)}.", plugin) from None
    if done.returncode:
        raise _plugin_error(f"{about} failed with exit code {done.returncode}{_words(done.stderr)}.", plugin)
    return _read_credential(done, api_version, about, plugin)


def _describe_request(plugin: dict, cluster: dict, api_version: str, source: str) -> dict:
    spec = {"interactive": False}
    if plugin.get("provideClusterInfo"):
        kept = ("server", "tls-server-name", "insecure-skip-tls-verify", "proxy-url")
        spec["cluster"] = {name: cluster[name] for name in kept if cluster.get(name)}
        authority = read_pem(cluster, "certificate-authority", source)
        if authority:
            spec["cluster"]["certificate-authority-data"] = base64.b64encode(authority).decode()
        for extension in cluster.get("extensions") or []:
            if extension.get("name") == "client.authentication.k8s.io/exec":
                spec["cluster"]["config"] = extension.get("extension")
    return {"apiVersion": api_version, "kind": "ExecCredential", "spec": spec}


def _read_credential(done: subprocess.CompletedProcess, api_version: str, about: str, plugin: dict) -> Credentials:
    """The credentials that a plugin printed. Of its standard output nothing is shown: it may hold them."""
    try:
        answer = json.loads(done.stdout)
    except (ValueError, RecursionError):
        raise _plugin_error(f"{about} did not print JSON{_words(done.stderr)}.", plugin) from None
    if not isinstance(answer, dict) or answer.get("kind") != "ExecCredential" or answer.get("apiVersion") != api_version:
        raise _plugin_error(f"{about} must print an ExecCredential of {api_version}{_words(done.stderr)}.", plugin)
    status = answer.get("status")
    if not isinstance(status, dict):
        raise _plugin_error(f"{about} printed an ExecCredential without a status{_words(done.stderr)}.", plugin)
    certificate, key = (str(status.get(name) or "").encode() for name in ("clientCertificateData", "clientKeyData"))
    if bool(certificate) != bool(key):
        raise _plugin_error(f"{about} must print both clientCertificateData and clientKeyData, or neither.", plugin)
    token = clean_token("status.token of the exec plugin", status.get("token") or "")
    if not token and not certificate:
        raise _plugin_error(f"{about} printed neither a token nor a certificate{_words(done.stderr)}.", plugin)
    expires_at = _read_time(status["expirationTimestamp"], about, plugin) if status.get("expirationTimestamp") else None
    return Credentials(token=token, certificate=certificate, key=key, expires_at=expires_at)


def _read_time(text, about: str, plugin: dict) -> float:
    try:
        moment = datetime.datetime.fromisoformat(str(text).replace("Z", "+00:00"))
        return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, OverflowError):
        raise _plugin_error(f"{about} printed an expirationTimestamp that is not a time of RFC 3339.", plugin) from None


def _words(stderr: bytes | None) -> str:
    """What a plugin wrote for a person, as part of a message."""
    text = strip_escapes((stderr or b"").decode("utf-8", "replace"))
    text = " ".join(_CONTROL.sub(" ", text).split())[-1000:].rstrip(".")
    return f": {text}" if text else ""


def _plugin_error(message: str, plugin: dict) -> PodwrightError:
    hint = _words(str(plugin.get("installHint") or "").encode()).removeprefix(": ")
    return PodwrightError(message, reason="ExecPlugin", hint=f"{hint}." if hint else "Run the plugin's command by hand to see what it needs.")


def _ask_provider(user: dict, source: str) -> str:
    """The token of an auth-provider (oidc, gcp), which the official client knows how to renew."""
    config = load("kubernetes.config").kube_config
    name = user["auth-provider"].get("name")
    content = {"current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}], "users": [{"name": "u", "user": user}]}
    try:
        loader = config.KubeConfigLoader(config_dict=content | {"clusters": [{"name": "c", "cluster": {}}]})
        header = loader._load_auth_provider_token()
    except Exception as error:  # ConfigException, network errors, KeyError and others of malformed entries: their text may hold the entry
        raise bad_configuration(f"The auth-provider {name!r} of {source} failed ({type(error).__name__}).", hint="Renew its login.") from None
    finally:
        config._cleanup_temp_files()
    token = clean_token(f"the token of the auth-provider {name!r}", str(header or "").removeprefix("Bearer "))
    if not token:
        raise bad_configuration(f"The auth-provider {name!r} of {source} gave no token.", hint="Renew its login, or use an exec plugin instead.")
    return token
