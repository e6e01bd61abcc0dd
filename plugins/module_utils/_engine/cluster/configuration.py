# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The connection to a cluster: server, proxy, TLS and credentials, from options, a kubeconfig or the service account of a pod."""

from __future__ import annotations

import os
import urllib.parse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ansible.module_utils.parsing.convert_bool import boolean

from ..errors import PodwrightError
from ..masking import Masker
from .credentials import Credentials, basic, clean_token, header_value, read_file, read_pem, user_credentials
from .kubeconfig import Kubeconfig, bad_configuration, entry_secrets, is_text, read_kubeconfig
from .proxies import bypasses, check_proxy, is_local, proxy_of_environment
from .tls import tls_context

if TYPE_CHECKING:
    from ..values import Options
    from .kubeconfig import Entry

SERVICE_ACCOUNT_DIRECTORY = Path("/var/run/secrets/kubernetes.io/serviceaccount")
HOME_KUBECONFIG = "~/.kube/config"
Headers: TypeAlias = list[tuple[str, str]]
# Options with credentials, in the order of their precedence: their variables, and what they are.
_CREDENTIALS = {
    "username": ("K8S_AUTH_USERNAME", "user name and password"),
    "api_key": ("K8S_AUTH_API_KEY", "token"),
    "client_cert": ("K8S_AUTH_CERT_FILE", "certificate"),
}
_Selection: TypeAlias = "tuple[str, Entry, Entry, str]"


class Context:
    """The API server and namespace of connection options; no credentials are read.

    Args:
        options: the connection options (see the doc fragment `connection`); missing ones count as null.

    Attributes:
        server: the URL of the API server, without credentials.
        source: the origin of the configuration, as errors name it.
        context: the name of the context in the kubeconfig, or None without one.
        namespace: of the variable PODWRIGHT_NAMESPACE, else of the context, else `default`.

    Raises: PodwrightError that names the invalid option or file, and never shows a credential.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self.context: str | None = None
        self.source, self._cluster, self._user, namespace = self._find()
        self.namespace = os.environ.get("PODWRIGHT_NAMESPACE") or namespace
        self.server = self._read_server()

    def _find(self) -> _Selection:
        """(source, cluster, user, namespace), from the first of: options (or K8S_AUTH_*), KUBECONFIG, the service account, ~/.kube/config.

        The option `host` replaces the server only, unless it comes with credentials.
        """
        options = self._options
        if kubeconfig := options.get("kubeconfig"):
            is_variable = isinstance(kubeconfig, str) and kubeconfig == os.environ.get("K8S_AUTH_KUBECONFIG")
            return self._select(read_kubeconfig(kubeconfig, "K8S_AUTH_KUBECONFIG=" if is_variable else "kubeconfig "))
        if options.get("host") and any(map(options.get, _CREDENTIALS)):
            return self.server_source, {}, {}, "default"
        try:
            return self._find_configured()
        except PodwrightError as error:
            if error.reason != "NoConfiguration" or not options.get("host") or options.get("context"):
                raise
        return self.server_source, {}, {}, "default"

    def _find_configured(self) -> _Selection:
        """What is configured besides options. Raises: PodwrightError."""
        if os.environ.get("KUBECONFIG"):
            return self._select(read_kubeconfig(os.environ["KUBECONFIG"], "KUBECONFIG="))
        if not self._options.get("context") and os.environ.get("KUBERNETES_SERVICE_HOST") and (SERVICE_ACCOUNT_DIRECTORY / "token").exists():
            return _in_cluster()
        if os.path.exists(os.path.expanduser(HOME_KUBECONFIG)):
            return self._select(read_kubeconfig(HOME_KUBECONFIG, ""))
        raise PodwrightError(
            "No cluster is configured: there is no option kubeconfig or host, no variable K8S_AUTH_* or KUBECONFIG, "
            "no service account of a pod and no file ~/.kube/config.",
            reason="NoConfiguration",
            hint="Set kubeconfig, or KUBECONFIG in the environment of the task.",
        )

    def _select(self, config: Kubeconfig) -> _Selection:
        context = str(self._options.get("context") or config.current_context)
        if not context and self._options.get("host") and not self._options.get("kubeconfig"):
            return self.server_source, {}, {}, "default"
        self.context = context
        return config.source, *config.select(context)

    @property
    def server_source(self) -> str:
        """The origin of the URL of the server, as errors name it."""
        return self._origin("host", "K8S_AUTH_HOST") if self._options.get("host") else self.source

    def _origin(self, name: str, variable: str) -> str:
        return variable if self._options[name] == os.environ.get(variable) else f"the option {name}"

    def _read_server(self) -> str:
        name = "host" if self._options.get("host") else f"the server of {self.source}"
        text = header_value(name, self._options.get("host") or self._cluster.get("server") or "").strip().rstrip("/")
        try:
            url = urllib.parse.urlsplit(text)
            is_valid = url.scheme in ("http", "https") and url.hostname and not url.query and not url.fragment and (url.port or 1)
        except ValueError:  # an invalid port, or a bracket without the other
            is_valid = False
        if not is_valid:
            shown = repr(text.rpartition("@")[2][:200]) if text else "nothing"
            raise bad_configuration(f"{name}: must be a URL such as https://192.0.2.1:6443, got {shown}.", hint="")
        return f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"


class Configuration(Context):
    """A connection with everything resolved; `refresh` reads the credentials again.

    Args:
        options: as of a Context.

    Attributes:
        tls: the TLS context with everything loaded; None for plain HTTP.
        tls_server_name: the name that the server's certificate is verified for; None for the host of the URL.
        proxy: the URL of the proxy, or None.
        expires_at: when the credentials expire, in seconds since the epoch; None if unknown.

    Raises: PodwrightError that names the invalid option or file, and never shows a credential.
    """

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._credentials = self._read_credentials()
        self.expires_at = self._credentials.expires_at
        self._impersonation = self._read_impersonation()
        self.proxy, self._proxy_source = self._find_proxy()
        self._given_headers = _proxy_header_options(options.get("proxy_headers") or {})
        self._proxy_headers = self._read_proxy_headers()
        self.tls_server_name: str | None = self._cluster.get("tls-server-name") or None
        self.tls = None
        if self.server.startswith("https:"):
            strict = bool(self._flag("verify_x509_strict"))
            self.tls = tls_context(self._read_authority(), self._credentials, self._verifies_server(), strict, self.source)

    def headers(self) -> Headers:
        """The headers for authentication and impersonation, as (name, value) pairs; one for each group."""
        authorization = self._credentials.authorization()
        return ([("Authorization", authorization)] if authorization else []) + self._impersonation

    def refresh(self) -> Configuration:
        """A configuration with credentials that are read again. Raises: PodwrightError."""
        return Configuration(self._options)

    def proxy_headers(self) -> dict[str, str] | None:
        """Headers for the proxy (basic authentication, user agent), or None."""
        return self._proxy_headers or None

    @property
    def proxy_login(self) -> str | None:
        """`name:password` for the proxy, from `proxy_headers` or the URL of the proxy, or None."""
        login: str | None = self._given_headers.get("proxy_basic_auth")
        url = urllib.parse.urlsplit(self.proxy or "")
        if login or not url.username:
            return login
        return f"{urllib.parse.unquote(url.username)}:{urllib.parse.unquote(url.password or '')}"

    @property
    def identity(self) -> str:
        """The user who sends the requests, as errors name it."""
        impersonated = self._options.get("impersonate_user") or self._user.get("as")
        return str(impersonated or f"the user of {self._given_credentials()[1] or self.source}")

    @property
    def renewal(self) -> str:
        """What to do if the API server does not accept the credentials, as errors say it."""
        what, origin = self._given_credentials()
        if origin:
            return f"The API server does not accept the {what} of {origin}: set a valid one."
        if self._user and not self._may_send_credentials():
            return f"Use an https:// address: the credentials of {self.source} are not sent over plain HTTP."
        if not self._user:
            return f"No credentials are configured by {self.source}: set api_key, or kubeconfig and context."
        return f"The API server does not accept the credentials of the user of {self.source}: log in again, or renew its token or certificate."

    def _given_credentials(self) -> tuple[str, str]:
        """What credentials are set by an option, and its name or that of its variable; empty if none are."""
        for name, (variable, what) in _CREDENTIALS.items():
            if self._options.get(name):
                return what, self._origin(name, variable)
        return "", ""

    @property
    def proxy_place(self) -> str:
        """The URL of the proxy, without its login, with its origin; empty without a proxy."""
        url = urllib.parse.urlsplit(self.proxy or "")
        return f"{url.scheme}://{url.netloc.rpartition('@')[2]} (from {self._proxy_source})" if self.proxy else ""

    @property
    def place(self) -> str:
        """The URLs of the server and of its proxy, with their origins."""
        return f"{self.server} (from {self.server_source}){' through the proxy ' if self.proxy else ''}{self.proxy_place}"

    def mask(self, text: str) -> str:
        """A text from a server without the credentials, which it may repeat."""
        return Masker(self.secrets).mask(text)

    @property
    def secrets(self) -> set[str]:
        """The credentials, as they are sent and as the kubeconfig has them."""
        values = (self._proxy_headers.get(name, "") for name in ("authorization", "proxy-authorization"))
        logins = (self.proxy_login, self._given_headers.get("basic_auth"))
        found = {value.partition(" ")[2] for value in values} | {(login or "").partition(":")[2] for login in logins}
        return (self._credentials.secrets | found | entry_secrets(self._user, self._cluster)) - {""}

    # -- authority ------------------------------------------------------------------------------------------

    def _verifies_server(self) -> bool:
        verifies = self._flag("validate_certs")
        return not self._cluster.get("insecure-skip-tls-verify") if verifies is None else verifies

    def _flag(self, name: str) -> bool | None:
        """A truth value, or None if it is not set: of options of plugins that it could not read, Ansible itself would make false."""
        value = self._options.get(name)
        try:
            return None if value in (None, "") else boolean(value)
        except TypeError:
            raise bad_configuration(f"{name}: must be true or false, got {value!r}.", hint="") from None

    def _read_authority(self) -> str | None:
        """The certificates of the authorities in PEM, or None for those of this machine."""
        if self._options.get("ca_cert"):
            content = read_file("ca_cert", self._path("ca_cert"), self.source)
        elif self._cluster.get("certificate-authority-data") or self._cluster.get("certificate-authority"):
            content = read_pem(self._cluster, "certificate-authority", self.source)
        else:
            return None
        if not content.strip():  # Python would use those of this machine
            raise bad_configuration(f"The certificate authority from {self.source} is empty.", hint="Correct ca_cert or certificate-authority.")
        return content.decode("ascii", "ignore")

    # -- identity -------------------------------------------------------------------------------------------

    def _read_credentials(self) -> Credentials:
        """Options take precedence over the kubeconfig's user, whose exec plugin is then not run; others must not read the user's."""
        options = self._options
        if options.get("username"):
            credentials = Credentials(username=header_value("username", options["username"]), password=header_value("password", options.get("password") or ""))
        elif options.get("api_key"):
            credentials = Credentials(token=clean_token("api_key", options["api_key"]))
        elif not self._may_send_credentials() or (options.get("host") and options.get("client_cert")):
            credentials = Credentials()
        else:
            credentials = user_credentials(self._user, self._cluster, self.source)
        if options.get("client_cert"):
            credentials = replace(credentials, certificate=read_file("client_cert", self._path("client_cert"), self.source))
        if options.get("client_key"):
            credentials = replace(credentials, key=read_file("client_key", self._path("client_key"), self.source))
        return credentials

    def _may_send_credentials(self) -> bool:
        """Whether the credentials of the user are encrypted on their way, or stay on this machine, for a server that they are meant for."""
        is_own = not self._options.get("host") or bool(self._options.get("kubeconfig"))
        is_own = is_own and not self._options.get("proxy") and not self._cluster.get("proxy-url")
        return self.server.startswith("https:") or (is_own and is_local(urllib.parse.urlsplit(self.server).hostname))

    def _path(self, name: str) -> str:
        path = os.path.expanduser(str(self._options[name]))
        if is_text(path) or "-----BEGIN" in path:
            raise bad_configuration(f"{name}: must be a path, got text.", hint="Write it to a file, or set kubeconfig to a mapping that contains it.")
        return path

    def _read_impersonation(self) -> Headers:
        """Options take precedence over the kubeconfig's `as` and all fields that belong to it."""
        options, user = self._options, self._user
        groups = options.get("impersonate_groups") or []
        if groups == [""] and os.environ.get("K8S_AUTH_IMPERSONATE_GROUPS") == "":  # which Ansible splits to a list
            groups = []
        if options.get("impersonate_user") or groups:
            headers = [("Impersonate-User", header_value("impersonate_user", options["impersonate_user"]))] if options.get("impersonate_user") else []
            return headers + [("Impersonate-Group", header_value("impersonate_groups", group)) for group in groups]
        headers = [("Impersonate-User", header_value("as", user["as"]))] if user.get("as") else []
        headers += [("Impersonate-Uid", header_value("as-uid", user["as-uid"]))] if user.get("as-uid") else []
        headers += [("Impersonate-Group", header_value("as-groups", group)) for group in user.get("as-groups") or []]
        for name, values in (user.get("as-user-extra") or {}).items():
            header = "Impersonate-Extra-" + urllib.parse.quote(str(name), safe="").lower()
            headers += [(header, header_value("as-user-extra", value)) for value in values or []]
        return headers

    # -- proxy ----------------------------------------------------------------------------------------------

    def _find_proxy(self) -> tuple[str | None, str]:
        """(URL of the proxy or None, its origin as errors name it). Raises: PodwrightError."""
        no_proxy = self._options.get("no_proxy")
        proxy: str | None
        if self._options.get("proxy"):
            proxy, origin = check_proxy("proxy", header_value("proxy", self._options["proxy"])), self._origin("proxy", "K8S_AUTH_PROXY")
            no_proxy = no_proxy or os.environ.get("NO_PROXY") or os.environ.get("no_proxy")
        elif self._cluster.get("proxy-url"):
            proxy, origin = check_proxy(f"proxy-url of {self.source}", header_value("proxy-url", self._cluster["proxy-url"])), self.source
        else:
            proxy, origin, no_proxy = proxy_of_environment(self.server, no_proxy)
        return (None, "") if not proxy or bypasses(self.server, no_proxy or "") else (proxy, origin)

    def _read_proxy_headers(self) -> dict[str, str]:
        options, headers = self._given_headers, {}
        if self.proxy_login:
            headers["proxy-authorization"] = basic(*_split_login("proxy_headers.proxy_basic_auth", self.proxy_login))
        if options.get("basic_auth"):
            headers["authorization"] = basic(*_split_login("proxy_headers.basic_auth", options["basic_auth"]))
        if options.get("user_agent"):
            headers["user-agent"] = header_value("proxy_headers.user_agent", options["user_agent"])
        return headers


def _proxy_header_options(given: Options) -> Options:
    """The option proxy_headers; no plugin of Ansible can declare the variables of its parts."""
    names = ("basic_auth", "proxy_basic_auth", "user_agent")
    return {name: given.get(name) or os.environ.get(f"K8S_AUTH_PROXY_HEADERS_{name.upper()}") for name in names}


def _split_login(name: str, login: str) -> tuple[str, str]:
    username, colon, password = header_value(name, login).partition(":")
    if not colon:
        raise bad_configuration(f"{name}: must be a user name and a password, separated by a colon.", hint="")
    return username, password


def _in_cluster() -> _Selection:
    """The service account of the pod that this process runs in."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT") or "443"
    cluster = {"server": f"https://{f'[{host}]' if ':' in host else host}:{port}", "certificate-authority": str(SERVICE_ACCOUNT_DIRECTORY / "ca.crt")}
    namespace = SERVICE_ACCOUNT_DIRECTORY / "namespace"
    name = namespace.read_text().strip() if namespace.exists() else ""
    return "the pod's service account", cluster, {"tokenFile": str(SERVICE_ACCOUNT_DIRECTORY / "token")}, name or "default"
