# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Kubeconfigs are read as by kubectl, and their content is never shown."""

from __future__ import annotations

import base64
import json
import os

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.arguments import connection_secrets, redact_connection
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.api_errors import status_error
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import POD
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kubeconfig import is_text, plugin_secrets, read_kubeconfig
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.request import Request
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError

CANARY = "c4n4ry-of-the-kubeconfig"


def kubeconfig(name="a", server="http://127.0.0.1:9", current=True, **user):
    """A kubeconfig with one cluster, user and context."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server}}],
        "users": [{"name": name, "user": user or {"token": CANARY}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": f"space-of-{name}"}}],
    }
    return content | ({"current-context": name} if current else {})


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch, tmp_path):
    for name in ("KUBECONFIG", "K8S_AUTH_KUBECONFIG", "KUBERNETES_SERVICE_HOST", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def write(path, content):
    """Write a kubeconfig, text unchanged."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return str(path)


def test_first_current_context_is_used(tmp_path):
    files = [write(tmp_path / name, kubeconfig(name)) for name in ("one", "two")]
    assert Configuration({"kubeconfig": os.pathsep.join(files)}).namespace == "space-of-one"
    assert Configuration({"kubeconfig": os.pathsep.join(reversed(files))}).namespace == "space-of-two"
    assert Configuration({"kubeconfig": os.pathsep.join(files), "context": "two"}).namespace == "space-of-two"


def test_empty_current_context_is_ignored(tmp_path):
    files = [write(tmp_path / "one", kubeconfig("one", current=False) | {"current-context": ""}), write(tmp_path / "two", kubeconfig("two"))]
    assert Configuration({"kubeconfig": os.pathsep.join(files)}).namespace == "space-of-two"


@pytest.mark.parametrize("source", ["KUBECONFIG", "home", "option"])
def test_host_replaces_the_server_only_unless_credentials_come_with_it(source, tmp_path, monkeypatch):
    """As with kubernetes.core, for tunnels and load balancers."""
    content = kubeconfig("one", server="https://192.0.2.1")
    content["clusters"][0]["cluster"] |= {"tls-server-name": "api", "proxy-url": "http://192.0.2.9:1"}
    other = kubeconfig("two", server="https://192.0.2.2", token="other")
    content |= {name: content[name] + other[name] for name in ("clusters", "users", "contexts")}
    path = write(tmp_path / (".kube/config" if source == "home" else "config"), content)
    options = {"host": "https://192.0.2.3/"} | ({"kubeconfig": path} if source == "option" else {})
    if source == "KUBECONFIG":
        monkeypatch.setenv("KUBECONFIG", path)
    one, two = Configuration(options), Configuration(options | {"context": "two"})
    assert (one.server, one.tls_server_name, one.proxy, one.namespace) == ("https://192.0.2.3", "api", "http://192.0.2.9:1", "space-of-one")
    assert (one.headers(), two.headers()) == ([("Authorization", f"Bearer {CANARY}")], [("Authorization", "Bearer other")])
    assert (one.context, two.context, two.namespace, one.server_source) == ("one", "two", "space-of-two", "the option host")
    with pytest.raises(PodwrightError, match=r"context 'three' of .* does not exist; contexts: one, two"):
        Configuration(options | {"context": "three"})
    with_token = Configuration(options | {"api_key": "mine"})
    assert with_token.headers() == [("Authorization", "Bearer mine")] and with_token.source == (
        "kubeconfig " + path if source == "option" else "the option host"
    )
    assert Configuration(options | {"username": "jane", "password": "p"}).headers() == [("Authorization", "Basic amFuZTpw")]
    with pytest.raises(PodwrightError, match="client_cert does not exist"):  # it is read, and nothing else
        Configuration(options | {"client_cert": "/missing"})


def test_a_kubeconfig_that_selects_no_cluster_does_not_keep_host_from_being_used(tmp_path, monkeypatch):
    for content in (None, "", kubeconfig(current=False)):
        monkeypatch.setenv("KUBECONFIG", write(tmp_path / "config", content) if content is not None else str(tmp_path / "missing"))
        found = Configuration({"host": "https://192.0.2.3"})
        assert (found.headers(), found.source, found.namespace, found.context) == ([], "the option host", "default", None)
        with pytest.raises(PodwrightError):
            Configuration({"host": "https://192.0.2.3", "context": "b"})


@pytest.mark.parametrize(
    ("host", "server", "is_sent"),
    [
        ("http://192.0.2.3", "https://192.0.2.1", False),
        ("http://127.0.0.1:8001", "https://192.0.2.1", False),
        ("http://127.0.0.1:8001", "http://127.0.0.1:8001", False),
        (None, "http://192.0.2.1", False),
        (None, "http://127.0.0.1:8001", True),
        ("https://192.0.2.3", "http://192.0.2.1", True),
    ],
)
def test_credentials_of_a_kubeconfig_are_not_sent_over_plain_http(host, server, is_sent, tmp_path, monkeypatch):
    for user in ({"token": CANARY}, {"username": "jane", "password": CANARY}):
        monkeypatch.setenv("KUBECONFIG", write(tmp_path / "config", kubeconfig(server=server, **user)))
        assert bool(Configuration({"host": host}).headers()) is is_sent
    given = Configuration({"host": host or server, "api_key": "mine"})
    assert given.headers() == [("Authorization", "Bearer mine")]
    monkeypatch.setenv("KUBECONFIG", write(tmp_path / "config", kubeconfig(server=server, exec={"command": "/missing"})))
    if host is None:  # a proxy is another machine
        monkeypatch.setenv("KUBECONFIG", write(tmp_path / "config", kubeconfig(server=server)))
        assert Configuration({"proxy": "http://192.0.2.9:1"}).headers() == []
    if not is_sent:  # no program runs for nothing
        assert Configuration({"host": host}).headers() == []


@pytest.mark.parametrize(
    ("options", "variable", "hint"),
    [
        ({"api_key": "t0ken"}, None, "The API server does not accept the token of the option api_key: set a valid one."),
        ({"api_key": "t0ken"}, "K8S_AUTH_API_KEY", "The API server does not accept the token of K8S_AUTH_API_KEY: set a valid one."),
        (
            {"username": "t0ken", "password": "pa55word"},
            None,
            "The API server does not accept the user name and password of the option username: set a valid one.",
        ),
        ({}, None, "The API server does not accept the credentials of the user of KUBECONFIG={}: log in again, or renew its token or certificate."),
        ({"host": "http://192.0.2.1"}, None, "Use an https:// address: the credentials of KUBECONFIG={} are not sent over plain HTTP."),
    ],
)
def test_what_to_do_names_the_credentials_that_are_not_accepted(options, variable, hint, tmp_path, monkeypatch):
    path = write(tmp_path / "config", kubeconfig())
    monkeypatch.setenv("KUBECONFIG", path)
    if variable:
        monkeypatch.setenv(variable, "t0ken")
    for impersonation in ({}, {"impersonate_user": "jane"}):  # it is not the impersonated user who is not accepted
        configuration = Configuration(options | impersonation)
        for status, text in ((401, "Unauthorized"), (403, 'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group ""')):
            error = status_error(status, {"kind": "Status", "message": text, "reason": "No"}, Request("GET", "/p", kind=POD), configuration)
            assert error.hint == hint.format(path)
    monkeypatch.setenv("KUBECONFIG", write(tmp_path / "config", kubeconfig() | {"users": [{"name": "a", "user": {}}]}))
    assert options or Configuration(options).renewal == f"No credentials are configured by KUBECONFIG={path}: set api_key, or kubeconfig and context."


def test_first_entry_of_a_name_is_used_without_merging_fields(tmp_path):
    first = kubeconfig(token=CANARY)
    second = kubeconfig(server="http://127.0.0.1:10", username="jane", password="secret")
    config = read_kubeconfig(os.pathsep.join([write(tmp_path / "one", first), write(tmp_path / "two", second)]), "KUBECONFIG=")
    assert config.select(None)[:2] == ({"server": "http://127.0.0.1:9"}, {"token": CANARY})


@given(st.lists(st.tuples(st.sampled_from(["", "x", "y"]), st.dictionaries(st.sampled_from("abc"), st.integers(1, 9))), min_size=1, max_size=4))
def test_files_are_merged_as_documented(files):
    """The first file to set a value or a map's key wins (Kubernetes: Organizing Cluster Access Using kubeconfig Files)."""
    merged = read_kubeconfig({}, "kubeconfig ")
    for current, clusters in files:
        merged.merge({"current-context": current, "clusters": [{"name": n, "cluster": {"server": p}} for n, p in clusters.items()]}, "here")
    expected = {}
    for _current, clusters in reversed(files):
        expected |= clusters
    assert {name: entry["server"] for name, entry in merged.entries["clusters"].items()} == expected
    assert merged.current_context == next((current for current, _clusters in files if current), "")


@pytest.mark.parametrize("empty", ["", "\n", "# nothing\n---\n", "\ufeff", "null\n", "{}\n"])
def test_empty_and_missing_files_are_ignored(empty, tmp_path):
    files = [str(tmp_path / "missing"), write(tmp_path / "empty", empty), write(tmp_path / "real", kubeconfig()), write(tmp_path / "behind", empty)]
    assert Configuration({"kubeconfig": os.pathsep.join([*files, ""])}).namespace == "space-of-a"


def test_paths_are_relative_to_their_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    users = {"users": [{"name": "a", "user": {"tokenFile": "secrets/token"}}]}
    write(tmp_path / "users/config", users)
    write(tmp_path / "users/secrets/token", CANARY + "\n")
    rest = kubeconfig()
    del rest["users"]
    write(tmp_path / "clusters/config", rest)
    for order in (["users/config", "clusters/config"], ["clusters/config", "users/config"]):
        assert Configuration({"kubeconfig": os.pathsep.join(order)}).headers() == [("Authorization", f"Bearer {CANARY}")]


def test_exec_command_with_a_slash_is_relative_to_its_file(tmp_path):
    def command(text):
        config = read_kubeconfig(write(tmp_path / "config", kubeconfig(exec={"command": text})), "")
        return config.select(None)[1]["exec"]["command"]

    assert command("./login") == f"{tmp_path}/./login" and command("login") == "login" and command("/bin/login") == "/bin/login"


@pytest.mark.parametrize("given_as", ["option", "K8S_AUTH_KUBECONFIG", "KUBECONFIG"])
@pytest.mark.parametrize("form", [yaml.safe_dump, json.dumps, lambda content: json.dumps(content, indent="\t"), lambda content: "\n" + yaml.safe_dump(content)])
def test_kubeconfig_can_be_yaml_or_json_text(given_as, form, monkeypatch):
    text = form(kubeconfig())
    if given_as != "option":
        monkeypatch.setenv(given_as, text)
    configuration = Configuration({} if given_as == "KUBECONFIG" else {"kubeconfig": text})
    assert configuration.headers() == [("Authorization", f"Bearer {CANARY}")]
    assert CANARY not in configuration.source and "text" in configuration.source and configuration.source.endswith(("kubeconfig", given_as))


BROKEN = [
    f"apiVersion: v1\nusers: [{{name: a, user: {{token: {CANARY}}}",
    f"apiVersion: v1\nusers: {CANARY}\n",
    f"apiVersion: v1\nusers:\n- name: a\n  user: {CANARY}\n",
    f"apiVersion: v1\nkind: Config\ntoken: {CANARY}\n\tx",
    f"{CANARY}\n{CANARY}",
    f"$ANSIBLE_VAULT;1.1;AES256\n{CANARY}",
    yaml.safe_dump(kubeconfig() | {"current-context": "none"}),
    yaml.safe_dump(kubeconfig() | {"users": []}),
    yaml.safe_dump(kubeconfig(server=f"ftp://jane:{CANARY}@host")),
    f"-----BEGIN EC PRIVATE KEY-----\n{CANARY}\n-----END EC PRIVATE KEY-----",
    "eyJhbGciOiJSUzI1NiIsImtpZCI6I." + "A" * 100 + CANARY,
    f"token: {CANARY}",
    f"a:{'A' * 100}{CANARY}",
    base64.b64encode(f"users: [{{user: {{token: {CANARY}}}}}]".encode()).decode(),
    base64.b64encode(yaml.safe_dump(kubeconfig(token=CANARY)).encode()).decode(),
]


@pytest.mark.parametrize("text", BROKEN)
@pytest.mark.parametrize("variable", [False, True])
def test_errors_show_no_content(text, variable, monkeypatch, tmp_path):
    if variable:
        monkeypatch.setenv("KUBECONFIG", text)
    with pytest.raises(PodwrightError) as caught:
        Configuration({} if variable else {"kubeconfig": text})
    shown = f"{caught.value} {caught.value.__cause__}"
    assert CANARY not in shown and text[-30:] not in shown and "kubeconfig" in shown.lower(), shown
    assert redact_connection({"kubeconfig": text}) == {"kubeconfig": "(content, not shown)"}
    path = write(tmp_path / "config", text)
    with pytest.raises(PodwrightError) as caught:
        Configuration({"kubeconfig": path})
    assert CANARY not in str(caught.value) and path in str(caught.value)


@pytest.mark.parametrize(
    "text", ["~/.kube/config", "/a/b:/c/d", "relative/config.yml", "/with space/config", "kube config", "environments/production/clusters1"]
)
def test_path_is_not_taken_for_text(text):
    assert not is_text(text) and redact_connection({"kubeconfig": text}) == {"kubeconfig": text}


@pytest.mark.parametrize(
    "user",
    [
        {"token": CANARY},
        {"password": CANARY},
        {"client-key-data": CANARY},
        {"auth-provider": {"name": "oidc", "config": {"refresh-token": CANARY}}},
        {"exec": {"env": [{"name": "CLIENT_SECRET", "value": CANARY}]}},
        {"exec": {"args": ["login", f"--client-secret={CANARY}"]}},
        {"exec": {"args": ["login", "--token", CANARY]}},
    ],
)
@pytest.mark.parametrize("form", [lambda content: content, yaml.safe_dump, json.dumps])
def test_secrets_in_a_kubeconfig_option_are_masked_and_its_content_is_not_shown(user, form):
    params = {"kubeconfig": form(kubeconfig(**user)), "host": None, "proxy": None}
    assert CANARY in connection_secrets(params)
    assert CANARY not in str(redact_connection(params)) and redact_connection({"kubeconfig": "/a/path"}) == {"kubeconfig": "/a/path"}


@pytest.mark.parametrize("field", ["proxy-url", "server"])
def test_password_in_a_url_of_a_kubeconfig_is_masked(field):
    content = kubeconfig()
    content["clusters"][0]["cluster"][field] = "http://jane:pass%3Aw0rd@proxy.example.com:3128"
    assert connection_secrets({"kubeconfig": content}) >= {"pass%3Aw0rd", "pass:w0rd"}


@pytest.mark.parametrize(
    ("name", "value", "is_secret"),
    [
        ("DB_PASSWORD", "hunter", True),
        ("X", "aB3dE9xQ7zK1", True),
        ("ID", "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0", True),
        ("AWS_PROFILE", "default", False),
        ("AWS_REGION", "us-east-1", False),
        ("REGION", "europe-west4", False),
        ("HOME", "/home/jane", False),
        ("USE_TOKEN", "true", False),
        ("TOKEN_FILE", "~/.kube/token", False),
        ("RETRIES", "3", False),
        ("ISSUER", "https://login.example.com:8443/dex", False),
        ("ISSUER", "https://jane:pass@login.example.com", True),
    ],
)
def test_ordinary_values_for_an_exec_plugin_are_not_masked(name, value, is_secret):
    """A result in which each `default` is masked cannot be read."""
    assert plugin_secrets({"env": [{"name": name, "value": value}]}) == ({value} if is_secret else set())


def test_ordinary_arguments_for_an_exec_plugin_are_not_masked():
    assert plugin_secrets({"args": ["get-token", "--profile=default", "--use-access-token=true", "--token-cache-dir=/root/cache", "--token", "-v"]}) == set()


@pytest.mark.parametrize(
    "content",
    [
        {"users": [{"user": {"exec": 5}}], "clusters": [5, {"cluster": {"server": 5, "proxy-url": "http://["}}]},
        {"users": [{"user": {"exec": {"env": [5, {"name": "TOKEN"}], "args": 5}}}]},
        {"users": None},
        {"users": 5},
        {"users": [5]},
        {"users": [{"user": 5}]},
        {"users": [{"user": {"auth-provider": 5}}]},
        {},
    ],
)
def test_masking_accepts_an_invalid_kubeconfig(content):
    assert connection_secrets({"kubeconfig": content}) == set() and connection_secrets({"kubeconfig": 5, "host": "http://[", "proxy": "x"}) == set()


def test_error_about_an_unknown_context_lists_the_contexts(tmp_path):
    path = write(tmp_path / "config", kubeconfig())
    with pytest.raises(PodwrightError, match=r"'nope'.*contexts: a"):
        Configuration({"kubeconfig": path, "context": "nope"})
    with pytest.raises(PodwrightError, match=r"no current-context.*contexts: a"):
        Configuration({"kubeconfig": kubeconfig(current=False)})


def test_entries_of_the_same_name_in_a_file_are_rejected(tmp_path):
    content = kubeconfig()
    content["users"] *= 2
    with pytest.raises(PodwrightError, match="two items named 'a'"):
        Configuration({"kubeconfig": write(tmp_path / "config", content)})


def test_impersonation_option_takes_precedence_over_the_kubeconfig():
    config = kubeconfig(token="t", **{"as": "jane", "as-uid": "7", "as-groups": ["g", "h"], "as-user-extra": {"scopes/X": ["read"]}})
    headers = Configuration({"kubeconfig": config}).headers()[1:]
    assert headers == [
        ("Impersonate-User", "jane"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Group", "g"),
        ("Impersonate-Group", "h"),
        ("Impersonate-Extra-scopes%2fx", "read"),
    ]
    assert Configuration({"kubeconfig": config, "impersonate_user": "joe"}).headers()[1:] == [("Impersonate-User", "joe")]


def test_default_kubeconfig_is_in_the_home_directory(tmp_path):
    write(tmp_path / ".kube/config", kubeconfig("home"))
    assert Configuration({}).namespace == Configuration({"kubeconfig": "~/.kube/config"}).namespace == "space-of-home"
