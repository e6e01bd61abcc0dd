# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Credentials: which are sent, rejected and renewed, and that none is shown; proxies and paths."""

from __future__ import annotations

import base64
import json
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.arguments import CONNECTION
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import JOB, POD
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.proxies import bypasses
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.request import Request
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.websocket import open_websocket
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.masking import MASK
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Operation, perform

from ..support.environment import scaled
from .stub_server import Response, StubServer
from .test_kubeconfig import kubeconfig

CANARY = "c4n4ry-of-the-credentials"
EXEC = Request("POST", POD.path("n", "a", "exec"), kind=POD, subresource="exec", namespace="n", name="a", retryable=False)
EXEC_VERSION = "client.authentication.k8s.io/v1"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch, tmp_path):
    for name in ("KUBECONFIG", "K8S_AUTH_KUBECONFIG", "KUBERNETES_SERVICE_HOST", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def server():
    with StubServer() as running:
        yield running


def with_options(name, value):
    """Connection options with a value in one option or field."""
    in_user = {"token": {"token": value}, "username": {"username": value, "password": "x"}, "password": {"username": "jane", "password": value}}
    in_user |= {"as": {"token": "t", "as": value}, "as-groups": {"token": "t", "as-groups": [value]}, "as-uid": {"token": "t", "as-uid": value}}
    in_user |= {"as-user-extra": {"token": "t", "as-user-extra": {"k": [value]}}}
    if name in in_user:
        return {"kubeconfig": kubeconfig(**in_user[name])}
    options = {"api_key": {}, "option username": {}, "option password": {"username": "jane"}, "impersonate_user": {}, "impersonate_groups": {}}[name]
    name = name.removeprefix("option ")
    return options | {name: [value] if name.endswith("groups") else value}


FIELDS = ["api_key", "option username", "option password", "impersonate_user", "impersonate_groups"]
FIELDS += ["token", "username", "password", "as", "as-groups", "as-uid", "as-user-extra"]


@pytest.mark.parametrize("field", FIELDS)
@settings(max_examples=scaled(25))
@given(text=st.text(st.one_of(st.sampled_from("\r\n\0\t\x7f\x85\x1b :%"), st.characters(max_codepoint=0x2FF, codec="utf-8")), min_size=1, max_size=6))
def test_credentials_cannot_inject_headers_and_are_not_shown(field, text, server):
    """Either the value is sent, or no request is, over HTTP and over a websocket."""
    value = f"{CANARY}{text}{CANARY}"
    del server.heads[:]
    try:
        with Client(Configuration({"host": server.url} | with_options(field, value))) as client:
            client.get(POD, "n", "a")
            with pytest.raises(PodwrightError) as caught:
                open_websocket(client, EXEC, ["v5.channel.k8s.io"])
            assert CANARY not in str(caught.value)
    except PodwrightError as error:
        assert CANARY not in f"{error} {error.__cause__}" and field.removeprefix("option ") in str(error)
        assert not server.heads
        return
    assert not any(character < " " or "\x7f" <= character < "\xa0" for character in text)
    for head in server.heads:
        allowed = (
            "GET",
            "POST",
            "Host",
            "Authorization",
            "Impersonate-",
            "User-Agent",
            "Accept",
            "Upgrade",
            "Connection",
            "Sec-Web",
            "Origin",
            "Content-Length",
        )
        assert all(line.startswith(allowed) for line in filter(None, head.split("\n"))), head
        if field.startswith(("impersonate", "as")):
            assert value.encode().decode("latin-1").strip(" \xa0") in head


@pytest.mark.parametrize("spaces", ["\n", "\r\n", "  ", "\t\n"])
def test_whitespace_around_a_token_is_removed(spaces, tmp_path):
    (tmp_path / "token").write_text(f"{spaces}{CANARY}{spaces}")
    sources = [{"host": "http://x", "api_key": f"{CANARY}{spaces}"}, {"kubeconfig": kubeconfig(token=f"{spaces}{CANARY}")}]
    sources += [{"kubeconfig": kubeconfig(tokenFile=str(tmp_path / "token"))}]
    for options in sources:
        assert Configuration(options).headers() == [("Authorization", f"Bearer {CANARY}")]


@pytest.mark.parametrize("name", ["proxy", "proxy-url"])
@pytest.mark.parametrize(
    "address", ["socks5://jane:c4n4ry-of-the-credentials@127.0.0.1:9", "127.0.0.1:9", "http://", "ftp://h", "http://h:port", "http://a\r\nb", "http://[", "x"]
)
def test_error_names_an_invalid_proxy(name, address):
    options = {"kubeconfig": kubeconfig()}
    if name == "proxy":
        options[name] = address
    else:
        options["kubeconfig"]["clusters"][0]["cluster"][name] = address
    with pytest.raises(PodwrightError, match=name) as caught:
        Configuration(options)
    assert CANARY not in str(caught.value) and caught.value.reason == "BadConfiguration"


@pytest.mark.parametrize("headers", [{"user_agent": "a\nX-Evil: 1"}, {"proxy_basic_auth": "a:b\r\n"}, {"basic_auth": "a:b\0"}, {"basic_auth": "no colon"}])
def test_error_names_invalid_proxy_headers(headers):
    with pytest.raises(PodwrightError, match=f"proxy_headers.{next(iter(headers))}"):
        Configuration({"host": "http://x", "proxy": "http://127.0.0.1:9", "proxy_headers": headers})


@pytest.mark.parametrize("is_module", [True, False])
@pytest.mark.parametrize("headers", [None, {"user_agent": "given"}])
def test_proxy_headers_are_read_from_variables(headers, is_module, monkeypatch):
    """Of modules, so that Ansible masks them, and of plugins, whose options have no variables for parts of a mapping."""
    options = {"host": "http://192.0.2.1", "proxy": "http://127.0.0.1:9"} | ({"proxy_headers": headers} if headers else {})
    for name, value in (("PROXY_BASIC_AUTH", "jane:pass"), ("BASIC_AUTH", ""), ("USER_AGENT", "agent")):
        monkeypatch.setenv(f"K8S_AUTH_PROXY_HEADERS_{name}", value)
    if is_module:
        checked = ArgumentSpecValidator(CONNECTION).validate(options)
        options = checked.validated_parameters
        assert checked.error_messages == [] and "jane:pass" in checked._no_log_values
    found = Configuration(options)
    assert found.proxy_headers() == {"proxy-authorization": "Basic amFuZTpwYXNz", "user-agent": "given" if headers else "agent"}
    assert "pass" not in found.mask("a pass word")


def test_proxy_headers_are_not_set_without_variables():
    assert ArgumentSpecValidator(CONNECTION).validate({}).validated_parameters["proxy_headers"] is None


@pytest.mark.parametrize("is_module", [True, False])
def test_empty_variable_impersonates_nobody(is_module, monkeypatch):
    monkeypatch.setenv("K8S_AUTH_IMPERSONATE_GROUPS", "")
    monkeypatch.setenv("K8S_AUTH_IMPERSONATE_USER", "")
    options = {"host": "http://192.0.2.1", "impersonate_user": "", "impersonate_groups": [""]}  # as Ansible reads them for plugins
    if is_module:
        options = ArgumentSpecValidator(CONNECTION).validate({"host": "http://192.0.2.1"}).validated_parameters
        assert options["impersonate_groups"] is None
    assert Configuration(options).headers() == []


BYPASSES = {
    "*": True,
    "10.0.0.5": True,
    "10.0.0.0/8": True,
    "10.0.0.5:6443": True,
    "10.0.0.5:443": False,
    "10.1.0.0/16,example.com": False,
    " other , 10.0.0.5 ": True,
    "0.0.5": False,
    "": False,
}


@pytest.mark.parametrize("entries", BYPASSES)
def test_no_proxy_with_addresses(entries):
    assert bypasses("https://10.0.0.5:6443", entries) == BYPASSES[entries]


@pytest.mark.parametrize(
    "server, entries, expected",
    [
        ("https://api.example.com", "example.com", True),
        ("https://api.example.com", ".example.com", True),
        ("https://api.example.com", "*.example.com", True),
        ("https://example.com", ".example.com", False),
        ("https://example.com", "EXAMPLE.com:443", True),
        ("https://example.com", "example.com:80", False),
        ("https://myexample.com", "example.com", False),
        ("https://[fd00::1]:6443", "fd00::/8", True),
        ("https://[fd00::1]:6443", "fd00::1", True),
        ("https://[fd00::1]:6443", "[fd00::1]:6443", True),
        ("https://[fd00::1]:6443", "[fd00::1]:443", False),
        ("https://[fd00::1]:6443", "10.0.0.0/8", False),
    ],
)
def test_no_proxy_with_host_names_and_ipv6(server, entries, expected):
    assert bypasses(server, entries) == expected


def test_proxy_variables_are_used_like_in_kubectl(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example.com:3128")
    monkeypatch.setenv("NO_PROXY", "10.0.0.0/8")
    assert Configuration({"host": "https://192.0.2.1"}).proxy == "http://proxy.example.com:3128"
    assert [Configuration({"host": host}).proxy for host in ("https://10.1.2.3", "https://127.0.0.1:6443", "http://192.0.2.1")] == [None] * 3


@pytest.mark.parametrize("host", ["127.0.0.1:6443", "ftp://x", "https://", "https://x:port", "https://[", f"https://jane:{CANARY}@[", "https://x\ny"])
def test_error_names_an_invalid_host(host):
    with pytest.raises(PodwrightError, match="host") as caught:
        Configuration({"host": host})
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("option", ["client_key", "client_cert", "ca_cert"])
def test_key_must_be_a_path_and_is_not_shown(option):
    with pytest.raises(PodwrightError, match=f"{option}: must be a path") as caught:
        Configuration({"host": "https://x", option: f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n"})
    assert CANARY not in str(caught.value)


# -- exec plugins ---------------------------------------------------------------------------------------------


def plugin(script, **more):
    """An exec plugin that is a shell script."""
    return {"apiVersion": EXEC_VERSION, "interactiveMode": "Never", "command": "sh", "args": ["-c", script]} | more


def credential(**status):
    """A script that prints an ExecCredential."""
    return "echo '" + json.dumps({"apiVersion": EXEC_VERSION, "kind": "ExecCredential", "status": status}) + "'"


FAILING = {
    "exit code": (plugin("printf 'please \\033[31mlog in\\033[0m\\a first\\n' >&2; exit 3"), ["exit code 3", "please log in first"]),
    "missing": (
        plugin("", command="no-such-login", installHint="Get it\nfrom \x1b[1mhere\x1b[0m"),
        ["'no-such-login'", "cannot be started", "Get it from here."],
    ),
    "missing file": (plugin("", command="/no/such/login"), ["/no/such/login", "No such file"]),
    "text": (plugin(f"echo {CANARY}; echo why >&2"), ["did not print JSON", "why"]),
    "nothing": (plugin("exit 0"), ["did not print JSON"]),
    "null": (plugin("echo null"), ["must print an ExecCredential"]),
    "other version": (plugin(credential(token="t").replace("/v1", "/v1beta1")), ["must print an ExecCredential of client.authentication.k8s.io/v1"]),
    "no status": (plugin(credential().replace("{}", "null")), ["without a status"]),
    "no token": (plugin(credential()), ["neither a token nor a certificate"]),
    "half a certificate": (plugin(credential(clientCertificateData=CANARY)), ["both clientCertificateData and clientKeyData"]),
    "bad token": (plugin(credential(token=f"{CANARY}\\n{CANARY}")), ["status.token", "printable"]),
    "bad time": (plugin(credential(token=CANARY, expirationTimestamp="soon")), ["expirationTimestamp"]),
    "no version": ({"command": "sh"}, ["apiVersion"]),
    "NUL": (plugin("x\0y"), ["cannot be started"]),
}


@pytest.mark.parametrize("case", FAILING)
def test_error_shows_why_a_plugin_failed(case, server):
    """No anonymous request is sent."""
    config, words = FAILING[case]
    del server.heads[:]
    with pytest.raises(PodwrightError) as caught:
        Client(Configuration({"host": server.url, "kubeconfig": kubeconfig(exec=config)}))
    text = str(caught.value)
    assert all(word in text for word in words) and CANARY not in text and "\x1b" not in text and "\a" not in text, text
    assert not server.heads


def test_input_and_output_of_a_plugin(tmp_path):
    script = f"printenv KUBERNETES_EXEC_INFO >{tmp_path}/info; printenv GREETING >>{tmp_path}/info; " + credential(
        token=f"{CANARY}\\n", expirationTimestamp="2030-01-02T03:04:05Z"
    )
    config = kubeconfig(exec=plugin(script, provideClusterInfo=True, env=[{"name": "GREETING", "value": "hello"}]))
    configuration = Configuration({"kubeconfig": config})
    info, greeting = (tmp_path / "info").read_text().splitlines()
    assert json.loads(info) == {
        "apiVersion": EXEC_VERSION,
        "kind": "ExecCredential",
        "spec": {"interactive": False, "cluster": {"server": "http://127.0.0.1:9"}},
    }
    assert greeting == "hello" and configuration.headers() == [("Authorization", f"Bearer {CANARY}")] and configuration.expires_at == 1893553445


@pytest.mark.parametrize("user", [{"token": "t"}, {"username": "u", "password": "p"}])
def test_credentials_in_a_kubeconfig_take_precedence_over_a_plugin(user):
    Configuration({"kubeconfig": kubeconfig(exec=plugin("exit 1"), **user)})
    Configuration({"kubeconfig": kubeconfig(exec=plugin("exit 1")), "api_key": "t"})


# -- renewal --------------------------------------------------------------------------------------------------


class RotatingTokens:
    """A plugin with a new token for each run, and a server that accepts only one of them."""

    def __init__(self, directory):
        self.count = directory / "count"
        self.count.write_text("")
        self.script = f"printf x >>{self.count}; sleep 0.1; n=$(wc -c <{self.count}); " + credential(token="number-N").replace("N", "'$n'")

    @property
    def runs(self):
        """The number of runs of the plugin."""
        return len(self.count.read_text())

    def accept(self, accepted):
        """A function that accepts requests with that token only."""

        def respond(handler):
            if handler.headers.get("Authorization") != f"Bearer number-{accepted}":
                return Response(401, {"kind": "Status", "reason": "Unauthorized", "message": "Unauthorized", "code": 401})
            return Response()

        return respond


def test_threads_renew_a_token_once(tmp_path, monkeypatch):
    tokens, temporary = RotatingTokens(tmp_path), tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with StubServer(tokens.accept(2)) as running:
        options = {"host": running.url, "kubeconfig": kubeconfig(exec=plugin(tokens.script))}
        with Client(Configuration(options)) as client, ThreadPoolExecutor(16) as threads:
            barrier = threading.Barrier(16)
            found = list(threads.map(lambda _n: (barrier.wait(), client.get(POD, "n", "a"))[1]["kind"], range(16)))
    assert found == ["Pod"] * 16 and tokens.runs == 2
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("transport", ["stream", "websocket"])
def test_streams_and_websockets_renew_a_token(transport, tmp_path):
    tokens = RotatingTokens(tmp_path)
    with StubServer(tokens.accept(2)) as running:
        with Client(Configuration({"host": running.url, "kubeconfig": kubeconfig(exec=plugin(tokens.script))})) as client:
            if transport == "stream":
                client.stream(Request("GET", POD.path("n"), kind=POD, namespace="n")).close()
            else:
                with pytest.raises(PodwrightError, match="responded with 200"):  # after the 401; the stub server does not support websockets
                    open_websocket(client, EXEC, ["v5.channel.k8s.io"])
            client.get(POD, "n", "a")  # with the renewed token
    assert tokens.runs == 2 and len(running.heads) == 3


@pytest.mark.parametrize("user", ["exec", "token", "password", "key"])
def test_results_and_live_output_have_no_credentials_of_a_kubeconfig_that_is_a_file(user, tmp_path, monkeypatch):
    """Neither those at first, nor those after a renewal."""
    tokens, console, live = RotatingTokens(tmp_path), Console(), []
    users = {"exec": {"exec": plugin(tokens.script)}, "token": {"token": "number-1"}, "password": {"username": "u", "password": "number-2"}}
    pem = base64.b64encode(b"-----BEGIN KEY-----\nnumber-1\n-----END KEY-----\n").decode()
    users["key"] = {"client-certificate-data": pem, "client-key-data": pem}
    config, path = kubeconfig(**users[user]), tmp_path / "config"
    monkeypatch.setenv("KUBECONFIG", str(path))
    shown = {"stdout": "number-1 number-2", "lines": [base64.b64encode(b"u:number-2").decode()], "name": "number-1"}

    def read(invocation, outcome):
        invocation.client.get(POD, "n", "a")
        live.append(console.mask(shown["stdout"]))
        console.warn("number-1 number-2")

    with StubServer(tokens.accept(2) if user == "exec" else lambda handler: Response()) as running:
        config["clusters"][0]["cluster"] = {"server": running.url}
        path.write_text(json.dumps(config))
        result = perform(Operation("x", {}, list, read, lambda invocation, outcome: {"changed": False} | shown), {}, False, False, console)
    expected = {"exec": f"{MASK} {MASK}", "token": f"{MASK} number-2", "key": f"{MASK} number-2", "password": f"number-1 {MASK}"}[user]
    assert not result["failed"] and [result["stdout"], *live, *result["warnings"]] == [expected] * 3
    assert user in ("token", "key") or MASK in result["lines"][0]
    assert result["name"] == "number-1"


def test_expired_token_is_renewed_before_a_request(tmp_path):
    tokens = RotatingTokens(tmp_path)
    script = tokens.script.replace('"token"', '"expirationTimestamp": "2020-01-01T00:00:00Z", "token"')
    with StubServer(tokens.accept(2)) as running, Client(Configuration({"host": running.url, "kubeconfig": kubeconfig(exec=plugin(script))})) as client:
        assert client.get(POD, "n", "a") and len(running.heads) == 1


def test_error_shows_why_a_plugin_failed_to_renew(tmp_path):
    (tmp_path / "works").touch()
    script = f"[ -e {tmp_path}/works ] || {{ echo session expired >&2; exit 1; }}; " + credential(token="t")
    with StubServer(lambda handler: Response(401, {"kind": "Status", "message": "Unauthorized"})) as running:
        with Client(Configuration({"host": running.url, "kubeconfig": kubeconfig(exec=plugin(script))})) as client:
            (tmp_path / "works").unlink()
            with pytest.raises(PodwrightError, match=r"exit code 1: session expired"):
                client.get(POD, "n", "a")


# -- paths ----------------------------------------------------------------------------------------------------


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), min_size=3, max_size=3))
def test_segments_of_a_path_are_encoded(names):
    if {".", ".."} & set(names) or {"/", "%"} & set("".join(names)):
        with pytest.raises(PodwrightError, match=r"must not (be|contain)"):
            JOB.path(*names)
        return
    path = JOB.path(*names)
    assert path.isascii() and path.isprintable() and " " not in path and not set(path) & set("?#")
    parts = path.split("/")
    assert parts[:5] == ["", "apis", "batch", "v1", "namespaces"] and [unquote(parts[i]) for i in (5, 7, 8)] == names and len(parts) == 9


@pytest.mark.parametrize("name", ["", ".", "..", "x/exec?command=id", "a%2fb"])
def test_names_that_would_change_the_path_are_rejected(name, server):
    """Else deleting the pod `..` would delete its namespace, and deleting a pod without a name all pods."""
    del server.heads[:]
    with Client(Configuration({"host": server.url})) as client:
        with pytest.raises(PodwrightError, match=r"must not (be|contain)"):
            client.delete(POD, "n", name)
        assert not server.heads
        with pytest.raises(PodwrightError):
            client.delete(POD, "..", "a")
        assert not server.heads


@pytest.mark.parametrize("name", ["x?command=id", "x#y", "ü"])
def test_names_cannot_inject_a_query_or_path(name, server):
    del server.heads[:]
    with Client(Configuration({"host": server.url})) as client:
        with pytest.raises(PodwrightError, match="responded with 200 and Pod 'a'"):
            client.get(POD, "n", name)
    target = server.heads[0].split()[1]
    assert unquote(target).startswith("/api/v1/namespaces/n/pods/") and unquote(target.rsplit("/", 1)[1]) == name
