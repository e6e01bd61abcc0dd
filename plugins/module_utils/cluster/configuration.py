# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the cluster is and who we are: credentials through the official `kubernetes` client."""

from __future__ import annotations

import os
import ssl
import urllib.parse
from pathlib import Path

from ..libraries import load
from .errors import PodwrightError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class Configuration:
    """A resolved connection: server address, TLS context, headers. Credentials are read anew by `refresh`.

    Args:
        options: the connection options of the modules (see the doc fragment `connection`); missing ones count as null.

    Attributes:
        server: the API server's address.
        source: where the connection came from, for a person.
        namespace: the context's namespace, or `default`.
        tls: an `ssl.SSLContext` with everything loaded; no file is needed after construction.
        proxy: the proxy's address, or None.

    Raises: PodwrightError that names the option or file at fault.
    """

    def __init__(self, options):
        self._options = options
        self.source, self.namespace, self._loaded = self._load()
        self._override()
        self.server = self._loaded.host.rstrip("/")
        self.proxy = None if self._bypasses_proxy() else self._loaded.proxy
        self.tls = self._make_tls()

    def headers(self):
        """The headers that say who we are, as (name, value) pairs: authorization and impersonation (every group its own header)."""
        loaded = self._loaded
        pairs = []
        token = None if self._options.get("username") else loaded.auth_settings().get("BearerToken", {}).get("value")
        if token:
            pairs.append(("Authorization", token))
        elif loaded.username:
            pairs.append(("Authorization", loaded.get_basic_auth_token()))
        if self._options.get("impersonate_user"):
            pairs.append(("Impersonate-User", self._options["impersonate_user"]))
        pairs.extend(("Impersonate-Group", group) for group in self._options.get("impersonate_groups") or [])
        return pairs

    def refresh(self):
        """Read the credentials again, as after a 401. Returns a new Configuration."""
        return Configuration(self._options)

    def proxy_headers(self):
        """Headers for the proxy itself (basic authentication, user agent)."""
        given = self._options.get("proxy_headers") or {}
        names = {"basic_auth", "user_agent"}
        asked = {key: given[key] for key in names & set(given) if given[key]}
        if self.proxy_login:
            asked["proxy_basic_auth"] = self.proxy_login
        return load("urllib3").make_headers(**asked) or None

    @property
    def proxy_login(self):
        """`name:password` for the proxy, from its address or `proxy_headers`, or None."""
        given = (self._options.get("proxy_headers") or {}).get("proxy_basic_auth")
        address = urllib.parse.urlsplit(self.proxy or "")
        if given or not address.username:
            return given
        return f"{urllib.parse.unquote(address.username)}:{urllib.parse.unquote(address.password or '')}"

    @property
    def identity(self):
        """Who asks, for a person."""
        return self._options.get("impersonate_user") or f"the user of {self.source}"

    # -- loading --------------------------------------------------------------------------------------------

    def _load(self):
        """Order: options (K8S_AUTH_* fill them in), KUBECONFIG, in-cluster, ~/.kube/config."""
        options = self._options
        given = options.get("kubeconfig")
        if isinstance(given, dict):
            return self._from_mapping(given)
        if given:
            return self._from_files(str(given), f"kubeconfig {given}")
        if options.get("host"):
            return "the option host", "default", self._blank()
        if os.environ.get("KUBECONFIG"):
            return self._from_files(os.environ["KUBECONFIG"], f"KUBECONFIG={os.environ['KUBECONFIG']}")
        if not options.get("context") and os.environ.get("KUBERNETES_SERVICE_HOST") and (SERVICE_ACCOUNT / "token").exists():
            return self._in_cluster()
        home = os.path.expanduser("~/.kube/config")
        if os.path.exists(home):
            return self._from_files(home, home)
        raise PodwrightError(
            "No cluster is configured: there is no option kubeconfig or host, no K8S_AUTH_* or KUBECONFIG variable, "
            "no service account of a pod and no ~/.kube/config.",
            reason="NoConfiguration",
            hint="Set kubeconfig, or KUBECONFIG in the task's environment.",
        )

    @staticmethod
    def _blank():
        # The client copies a process-wide default otherwise.
        return type.__call__(load("kubernetes.client").Configuration)

    def _from_files(self, paths, source):
        config = load("kubernetes.config")
        paths = os.pathsep.join(os.path.expanduser(path) for path in paths.split(os.pathsep) if path)
        present = [path for path in paths.split(os.pathsep) if os.path.isfile(path)]
        if not present:
            raise PodwrightError(
                f"The kubeconfig file {paths} does not exist (from {source}).", reason="NoConfiguration", hint="Correct the path, or make the file."
            )
        # Read once: a kubeconfig takes milliseconds.
        merged = self._guard(source, lambda: config.kube_config.KubeConfigMerger(paths).config)
        return self._from_config(source, merged)

    def _from_mapping(self, mapping):
        return self._from_config("the option kubeconfig", mapping)

    def _from_config(self, source, content):
        loaded = self._blank()

        def load_it():
            loader = load("kubernetes.config").kube_config.KubeConfigLoader(config_dict=content, active_context=self._options.get("context"))
            loader.load_and_set(loaded)
            return loader.current_context["context"].get("namespace") or "default"

        return source, self._guard(source, load_it), loaded

    def _in_cluster(self):
        loaded = self._blank()
        self._guard("the pod's service account", lambda: load("kubernetes.config").load_incluster_config(loaded))
        namespace = SERVICE_ACCOUNT / "namespace"
        return "the pod's service account", namespace.read_text().strip() if namespace.exists() else "default", loaded

    @staticmethod
    def _guard(source, call):
        """Run a loader of the client; its many exceptions become one error that names the source."""
        try:
            return call()
        except PodwrightError:
            raise
        except Exception as error:  # ConfigException, yaml.YAMLError, OSError, binascii.Error, TypeError of malformed files
            text = f"{type(error).__name__}: {error}".splitlines()[0]
            raise PodwrightError(
                f"The configuration from {source} cannot be used: {text}", reason="BadConfiguration", hint="Check it with: kubectl config view"
            ) from error

    def _override(self):
        options, loaded = self._options, self._loaded
        if options.get("host"):
            loaded.host = options["host"]
        if options.get("api_key"):
            loaded.refresh_api_key_hook = None
            loaded.api_key = {"authorization": f"Bearer {options['api_key']}"}
            loaded.api_key_prefix = {}
        if options.get("api_key") or options.get("username"):
            # The server would take the kubeconfig's certificate over the credentials asked for.
            loaded.cert_file = loaded.key_file = None
        for option, attribute in (
            ("username", "username"),
            ("password", "password"),
            ("ca_cert", "ssl_ca_cert"),
            ("client_cert", "cert_file"),
            ("client_key", "key_file"),
            ("proxy", "proxy"),
            ("no_proxy", "no_proxy"),
        ):
            if options.get(option):
                setattr(loaded, attribute, options[option])
        if options.get("validate_certs") is not None:
            loaded.verify_ssl = options["validate_certs"]

    # -- TLS and proxy --------------------------------------------------------------------------------------

    def _make_tls(self):
        loaded = self._loaded
        if not self.server.startswith("https"):
            return None
        for option, path in (("ca_cert", loaded.ssl_ca_cert), ("client_cert", loaded.cert_file), ("client_key", loaded.key_file)):
            if path and not os.path.exists(path):
                raise PodwrightError(f"The file of {option} does not exist: {path} (from {self.source}).", reason="BadConfiguration")
        try:
            context = ssl.create_default_context(cafile=loaded.ssl_ca_cert or None)
            if not loaded.verify_ssl:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            if loaded.cert_file:
                context.load_cert_chain(loaded.cert_file, loaded.key_file)
        except (ssl.SSLError, OSError) as error:
            raise PodwrightError(f"The certificates from {self.source} cannot be used: {error}", reason="BadConfiguration") from error
        finally:
            # The client keeps decoded keys in temporary files until its process exits, which a forked worker never does.
            load("kubernetes.config").kube_config._cleanup_temp_files()
        return context

    @property
    def tls_server_name(self):
        """The name to expect in the server's certificate where it is not the address (kubeconfig's tls-server-name), or None."""
        return getattr(self._loaded, "tls_server_name", None)

    def _bypasses_proxy(self):
        without = self._loaded.no_proxy
        if not self._loaded.proxy or not without:
            return False
        host = self.server.split("://", 1)[-1].split("/")[0].rsplit(":", 1)[0].strip("[]")
        return any(host == entry or host.endswith("." + entry.lstrip(".")) for entry in map(str.strip, without.split(",")) if entry)
