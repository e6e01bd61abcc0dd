# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Credentials: a token, a user name and password, or a client certificate, from options or from a kubeconfig."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..libraries import load
from ..text import CONTROL_CHARACTERS, decode
from .exec_plugin import run_plugin
from .kubeconfig import bad_configuration, shown_path

if TYPE_CHECKING:
    from .kubeconfig import Entry


@dataclass(frozen=True)
class Credentials:
    """How a request is authenticated. `certificate` and `key` are PEM; `expires_at` is in seconds since the epoch, None if unknown."""

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
        """The values that must not be shown, in each form in which they are sent."""
        return {self.token, self.password, self.authorization().partition(" ")[2], decode(self.key)} - {""}


def basic(username: str, password: str) -> str:
    """The value of a header for basic authentication (RFC 7617, in UTF-8)."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def header_value(name: str, value: object) -> str:
    """The value of a header. Raises: PodwrightError that names the option, but does not show the value, if it has control characters."""
    text = str(value)
    if CONTROL_CHARACTERS.search(text):
        raise bad_configuration(f"{name}: must not contain control characters such as line feeds.", hint="")
    return text


def clean_token(name: str, value: object) -> str:
    """A token without surrounding whitespace. Raises: PodwrightError that names the option, but does not show the value."""
    text = str(value).strip()
    if not text.isascii() or not text.isprintable():
        raise bad_configuration(f"{name}: must contain only printable ASCII characters.", hint="Check how the token was copied or read.")
    return text


def read_file(name: str, path: str, source: str) -> bytes:
    """The content of a file whose path is an option or a field of a kubeconfig. Raises: PodwrightError."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        raise bad_configuration(f"The file of {name} does not exist: {shown_path(path)} (from {source}).", hint="Correct the path.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "the path is invalid"
        raise bad_configuration(f"The file of {name} cannot be read: {shown_path(path)}: {reason} (from {source}).", hint="") from None


def read_pem(entry: Entry, name: str, source: str) -> bytes:
    """PEM from the field `NAME-data` (base64), else from the file of the field `NAME`; empty if neither is set. Raises: PodwrightError."""
    data = entry.get(f"{name}-data")
    if data:
        try:
            return base64.b64decode(str(data), validate=False)
        except (binascii.Error, ValueError):
            raise bad_configuration(f"{name}-data: must be base64 (from {source}).") from None
    return read_file(name, entry[name], source) if entry.get(name) else b""


def user_credentials(user: Entry, cluster: Entry, source: str) -> Credentials:
    """The credentials of a kubeconfig's user, by the precedence of kubectl: those in the entry, an exec plugin, an auth provider.

    Raises: PodwrightError, also if a plugin fails.
    """
    token = ""
    if user.get("tokenFile"):
        token = clean_token("tokenFile", decode(read_file("tokenFile", user["tokenFile"], source)))
    if not token and user.get("token"):
        token = clean_token("token", user["token"])
    credentials = Credentials(
        token=token,
        username=header_value("username", user.get("username") or ""),
        password=header_value("password", user.get("password") or ""),
        certificate=read_pem(user, "client-certificate", source),
        key=read_pem(user, "client-key", source),
    )
    if credentials.token or credentials.username or credentials.certificate:
        return credentials
    if user.get("exec"):
        authority = read_pem(cluster, "certificate-authority", source) if user["exec"].get("provideClusterInfo") else b""
        plugin = run_plugin(user["exec"], cluster, authority, source)
        token = clean_token("status.token of the exec plugin", plugin.token)
        return Credentials(token=token, certificate=plugin.certificate, key=plugin.key, expires_at=plugin.expires_at)
    if user.get("auth-provider"):
        return replace(credentials, token=_auth_provider_token(user, source))
    return credentials


def _auth_provider_token(user: Entry, source: str) -> str:
    """The token of an auth provider (oidc, gcp), which the Kubernetes client renews."""
    config = load("kubernetes.config").kube_config
    name = user["auth-provider"].get("name")
    content = {"current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}], "users": [{"name": "u", "user": user}]}
    try:
        loader = config.KubeConfigLoader(config_dict=content | {"clusters": [{"name": "c", "cluster": {}}]})
        header = loader._load_auth_provider_token()
    except Exception as error:  # of any type, for an invalid entry; its message may show the entry
        raise bad_configuration(f"The auth-provider {name!r} of {source} failed ({type(error).__name__}).", hint="Renew its login.") from None
    finally:
        config._cleanup_temp_files()
    token = clean_token(f"the token of the auth-provider {name!r}", str(header or "").removeprefix("Bearer "))
    if not token:
        raise bad_configuration(f"The auth-provider {name!r} of {source} returned no token.", hint="Renew its login, or use an exec plugin instead.")
    return token
