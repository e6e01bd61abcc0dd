# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the cluster is and who we are: connection options, kubeconfigs and the service account of a pod, resolved."""

from __future__ import annotations

import os
import ssl
import tempfile
import urllib.parse
from dataclasses import replace
from pathlib import Path

from ..errors import PodwrightError
from .credentials import Credentials, basic, clean, clean_token, of_user, read_file, read_pem
from .kubeconfig import Kubeconfig, bad_configuration, is_text, read_kubeconfig
from .proxies import bypasses, check_proxy, proxy_of_environment

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
HOME_KUBECONFIG = "~/.kube/config"


class Configuration:
    """A resolved connection: server address, TLS context, headers. Credentials are read anew by `refresh`.

    Args:
        options: the connection options of the modules (see the doc fragment `connection`); missing ones count as null.

    Attributes:
        server: the API server's address, without a user in it.
        source: where the connection came from, for a person.
        namespace: the context's namespace, or `default`.
        tls: an `ssl.SSLContext` with everything loaded; no file is needed after construction.
        tls_server_name: the name to expect in the server's certificate if it is not that of the address, or None.
        proxy: the proxy's address, or None.
        expires_at: when the credentials expire, in seconds since the epoch, or None if that is not known.

    Raises: PodwrightError that names the option or file at fault, and never shows a credential.
    """

    def __init__(self, options: dict):
        self._options = options
        self.source, self._cluster, self._user, self.namespace = self._find()
        self.server = self._read_server()
        self._credentials = self._read_credentials()
        self.expires_at = self._credentials.expires_at
        self._impersonation = self._read_impersonation()
        self.proxy = self._find_proxy()
        self._proxy_headers = self._read_proxy_headers()
        self.tls_server_name = self._cluster.get("tls-server-name") or None
        self.tls = self._make_tls() if self.server.startswith("https:") else None

    def headers(self) -> list[tuple[str, str]]:
        """The headers that say who we are, as (name, value) pairs: authorization and impersonation (every group its own header)."""
        authorization = self._credentials.authorization()
        return ([("Authorization", authorization)] if authorization else []) + self._impersonation

    def refresh(self) -> Configuration:
        """Read the credentials again, as after a 401. Returns a new Configuration."""
        return Configuration(self._options)

    def proxy_headers(self) -> dict | None:
        """Headers for the proxy itself (basic authentication, user agent)."""
        return self._proxy_headers or None

    @property
    def proxy_login(self) -> str | None:
        """`name:password` for the proxy, from its address or `proxy_headers`, or None."""
        given = (self._options.get("proxy_headers") or {}).get("proxy_basic_auth")
        address = urllib.parse.urlsplit(self.proxy or "")
        if given or not address.username:
            return given
        return f"{urllib.parse.unquote(address.username)}:{urllib.parse.unquote(address.password or '')}"

    @property
    def identity(self) -> str:
        """Who asks, for a person."""
        return self._options.get("impersonate_user") or self._user.get("as") or f"the user of {self.source}"

    @property
    def via(self) -> str:
        """The proxy for a person, as an addition to the server's address; its login is not shown."""
        address = urllib.parse.urlsplit(self.proxy or "")
        return f" through the proxy {address.scheme}://{address.netloc.rpartition('@')[2]}" if self.proxy else ""

    def mask(self, text: str) -> str:
        """A text that a server wrote, without the credentials that it may repeat."""
        for secret in sorted(self._secrets(), key=len, reverse=True):
            text = text.replace(secret, "********")
        return text

    def _secrets(self) -> set[str]:
        values = (self._proxy_headers.get(name, "") for name in ("authorization", "proxy-authorization"))
        logins = (self.proxy_login, (self._options.get("proxy_headers") or {}).get("basic_auth"))
        found = {value.partition(" ")[2] for value in values} | {(login or "").partition(":")[2] for login in logins}
        return (self._credentials.secrets | found) - {""}

    # -- finding it -----------------------------------------------------------------------------------------

    def _find(self) -> tuple[str, dict, dict, str]:
        """(source, cluster, user, namespace), by options (K8S_AUTH_* fill them in), KUBECONFIG, in-cluster, ~/.kube/config."""
        options = self._options
        given = options.get("kubeconfig")
        if given:
            is_variable = isinstance(given, str) and given == os.environ.get("K8S_AUTH_KUBECONFIG")
            return self._select(read_kubeconfig(given, "K8S_AUTH_KUBECONFIG=" if is_variable else "kubeconfig "))
        if options.get("host"):
            return "K8S_AUTH_HOST" if options["host"] == os.environ.get("K8S_AUTH_HOST") else "the option host", {}, {}, "default"
        if os.environ.get("KUBECONFIG"):
            return self._select(read_kubeconfig(os.environ["KUBECONFIG"], "KUBECONFIG="))
        if not options.get("context") and os.environ.get("KUBERNETES_SERVICE_HOST") and (SERVICE_ACCOUNT / "token").exists():
            return _in_cluster()
        if os.path.exists(os.path.expanduser(HOME_KUBECONFIG)):
            return self._select(read_kubeconfig(HOME_KUBECONFIG, ""))
        raise PodwrightError(
            "No cluster is configured: there is no option kubeconfig or host, no K8S_AUTH_* or KUBECONFIG variable, "
            "no service account of a pod and no ~/.kube/config.",
            reason="NoConfiguration",
            hint="Set kubeconfig, or KUBECONFIG in the task's environment.",
        )

    def _select(self, config: Kubeconfig) -> tuple[str, dict, dict, str]:
        return config.source, *config.select(self._options.get("context"))

    def _read_server(self) -> str:
        name = "host" if self._options.get("host") else f"the server of {self.source}"
        given = clean(name, self._options.get("host") or self._cluster.get("server") or "").strip().rstrip("/")
        try:
            address = urllib.parse.urlsplit(given)
            is_valid = address.scheme in ("http", "https") and address.hostname and not address.query and not address.fragment and (address.port or 1)
        except ValueError:  # a port that is none, a bracket without its other
            is_valid = False
        if not is_valid:
            shown = repr(given.rpartition("@")[2][:200]) if given else "nothing"
            raise bad_configuration(f"{name}: must be an address such as https://192.0.2.1:6443, got {shown}.", hint="")
        return f"{address.scheme}://{address.netloc.rpartition('@')[2]}{address.path}"

    # -- who we are -----------------------------------------------------------------------------------------

    def _read_credentials(self) -> Credentials:
        """Options count before the kubeconfig's user, whose exec plugin is then not started."""
        options = self._options
        if options.get("username"):
            return self._with_files(Credentials(username=clean("username", options["username"]), password=clean("password", options.get("password") or "")))
        if options.get("api_key"):
            return self._with_files(Credentials(token=clean_token("api_key", options["api_key"])))
        return self._with_files(of_user(self._user, self._cluster, self.source))

    def _with_files(self, credentials: Credentials) -> Credentials:
        given = {
            field: read_file(name, self._path(name), self.source)
            for name, field in (("client_cert", "certificate"), ("client_key", "key"))
            if self._options.get(name)
        }
        return replace(credentials, **given)

    def _path(self, name: str) -> str:
        path = os.path.expanduser(str(self._options[name]))
        if is_text(path) or "-----BEGIN" in path:
            raise bad_configuration(f"{name}: must be a path, got text.", hint="Write it to a file, or put it into a kubeconfig given as a mapping.")
        return path

    def _read_impersonation(self) -> list[tuple[str, str]]:
        """The option impersonate_user counts before the kubeconfig's `as` and all that belongs to it."""
        options, user = self._options, self._user
        if options.get("impersonate_user") or options.get("impersonate_groups"):
            pairs = [("Impersonate-User", clean("impersonate_user", options["impersonate_user"]))] if options.get("impersonate_user") else []
            return pairs + [("Impersonate-Group", clean("impersonate_groups", group)) for group in options.get("impersonate_groups") or []]
        pairs = [("Impersonate-User", clean("as", user["as"]))] if user.get("as") else []
        pairs += [("Impersonate-Uid", clean("as-uid", user["as-uid"]))] if user.get("as-uid") else []
        pairs += [("Impersonate-Group", clean("as-groups", group)) for group in user.get("as-groups") or []]
        for name, values in (user.get("as-user-extra") or {}).items():
            header = "Impersonate-Extra-" + urllib.parse.quote(str(name), safe="").lower()
            pairs += [(header, clean("as-user-extra", value)) for value in values]
        return pairs

    # -- the way there --------------------------------------------------------------------------------------

    def _find_proxy(self) -> str | None:
        without = self._options.get("no_proxy")
        if self._options.get("proxy"):
            proxy = check_proxy("proxy", clean("proxy", self._options["proxy"]))
            without = without or os.environ.get("NO_PROXY") or os.environ.get("no_proxy")
        elif self._cluster.get("proxy-url"):
            proxy = check_proxy(f"proxy-url of {self.source}", clean("proxy-url", self._cluster["proxy-url"]))
        else:
            proxy, without = proxy_of_environment(self.server, without)
        return None if not proxy or bypasses(self.server, without or "") else proxy

    def _read_proxy_headers(self) -> dict:
        given = self._options.get("proxy_headers") or {}
        headers = {}
        if self.proxy_login:
            headers["proxy-authorization"] = basic(*_split_login("proxy_headers.proxy_basic_auth", self.proxy_login))
        if given.get("basic_auth"):
            headers["authorization"] = basic(*_split_login("proxy_headers.basic_auth", given["basic_auth"]))
        if given.get("user_agent"):
            headers["user-agent"] = clean("proxy_headers.user_agent", given["user_agent"])
        return headers

    def _read_authority(self) -> str | None:
        """The certificates of the authorities in PEM, or None for those of this machine."""
        if self._options.get("ca_cert"):
            content = read_file("ca_cert", self._path("ca_cert"), self.source)
        elif self._cluster.get("certificate-authority-data") or self._cluster.get("certificate-authority"):
            content = read_pem(self._cluster, "certificate-authority", self.source)
        else:
            return None
        if not content.strip():  # Python would take those of this machine
            raise bad_configuration(f"The certificate authority from {self.source} is empty.", hint="Correct ca_cert or certificate-authority.")
        return content.decode("ascii", "ignore")

    def _make_tls(self) -> ssl.SSLContext:
        verifies = self._options.get("validate_certs")
        verifies = not self._cluster.get("insecure-skip-tls-verify") if verifies is None else verifies
        try:
            context = ssl.create_default_context(cadata=self._read_authority())
            # As kubectl verifies: any certificate of the file is an anchor, and an authority without key identifiers is one, too.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            if self._options.get("verify_x509_strict"):
                context.verify_flags |= ssl.VERIFY_X509_STRICT
            else:
                context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            if not verifies:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            self._load_certificate(context)
        except (ssl.SSLError, OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "they are not certificates and keys in PEM"
            raise bad_configuration(f"The certificates from {self.source} cannot be used: {reason}.") from error
        return context

    def _load_certificate(self, context: ssl.SSLContext) -> None:
        """Load the client certificate: Python takes it from a file only, which is ours alone and exists no longer than that."""
        if not self._credentials.certificate:
            return
        with tempfile.NamedTemporaryFile(prefix="podwright-") as pem:  # 0600
            pem.write(self._credentials.certificate.rstrip() + b"\n" + self._credentials.key)
            pem.flush()
            context.load_cert_chain(pem.name, password=_refuse_passphrase)


def _refuse_passphrase() -> str:
    """Without this, OpenSSL asks for the passphrase on the terminal and waits."""
    raise bad_configuration("client_key: must not be encrypted with a passphrase.", hint="Decrypt it, with openssl pkey for instance.")


def _split_login(name: str, login: str) -> tuple[str, str]:
    username, colon, password = clean(name, login).partition(":")
    if not colon:
        raise bad_configuration(f"{name}: must be a user and a password, separated by a colon.", hint="")
    return username, password


def _in_cluster() -> tuple[str, dict, dict, str]:
    """The service account of the pod that this runs in."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT") or "443"
    cluster = {"server": f"https://{f'[{host}]' if ':' in host else host}:{port}", "certificate-authority": str(SERVICE_ACCOUNT / "ca.crt")}
    namespace = SERVICE_ACCOUNT / "namespace"
    name = namespace.read_text().strip() if namespace.exists() else ""
    return "the pod's service account", cluster, {"tokenFile": str(SERVICE_ACCOUNT / "token")}, name or "default"
