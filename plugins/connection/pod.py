# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Connection plugin that runs any module in a container."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pod
short_description: Run modules in containers of pods
version_added: 1.0.0
author: Podwright contributors (@podwright)
description:
  - Runs any Ansible module in a container that has a shell and Python. Each command uses one websocket; no kubectl or other process is started.
  - Transfers files like M(podwright.core.pod_copy), verified at both ends and renamed into place.
  - A command can print at most 256 MiB. Redirect more output to a file, and fetch that.
options:
  pod:
    description: Name of the pod. Defaults to O(host_name).
    type: str
    vars:
      - name: ansible_host
      - name: ansible_podwright_pod
    env:
      - name: K8S_AUTH_POD
  host_name:
    description: Name of the host in the inventory.
    type: str
    vars:
      - name: inventory_hostname
  namespace:
    description: Namespace of the pod. Defaults to E(PODWRIGHT_NAMESPACE), then to the namespace of the context.
    type: str
    vars:
      - name: ansible_podwright_namespace
    env:
      - name: K8S_AUTH_NAMESPACE
  container:
    description: Name of the container. Defaults to the container C(task), the one annotated as default, or the first, in this order.
    type: str
    vars:
      - name: ansible_podwright_container
    env:
      - name: K8S_AUTH_CONTAINER
  timeout:
    description: Seconds in which the prompt for the password of C(become) must appear; it is checked at least every 15 seconds.
    type: int
    default: 10
    env:
      - name: ANSIBLE_TIMEOUT
    ini:
      - section: defaults
        key: timeout
    vars:
      - name: ansible_timeout
  remote_user:
    description: Always empty, whatever C(ansible_user) is. Commands run as the user of the container, whose home directory C(~) is.
    type: str
    default: ""
  host:
    description: URL of the API server. It replaces the server of the kubeconfig, unless O(api_key), O(username) or O(client_cert) is set.
    type: str
    vars:
      - name: ansible_podwright_host
    env:
      - name: K8S_AUTH_HOST
  api_key:
    description: Bearer token.
    type: str
    vars:
      - name: ansible_podwright_api_key
    env:
      - name: K8S_AUTH_API_KEY
  username:
    description: User name for basic authentication.
    type: str
    vars:
      - name: ansible_podwright_username
    env:
      - name: K8S_AUTH_USERNAME
  password:
    description: Password for basic authentication.
    type: str
    vars:
      - name: ansible_podwright_password
    env:
      - name: K8S_AUTH_PASSWORD
  validate_certs:
    description: Verify the certificate of the API server.
    type: raw
    vars:
      - name: ansible_podwright_validate_certs
    env:
      - name: K8S_AUTH_VERIFY_SSL
  verify_x509_strict:
    description: Reject certificates that do not strictly conform to RFC 5280, for example of a certificate authority without key identifiers.
    type: raw
    default: false
    vars:
      - name: ansible_podwright_verify_x509_strict
    env:
      - name: K8S_AUTH_VERIFY_X509_STRICT
  ca_cert:
    description: Path of the CA certificate of the API server.
    type: path
    vars:
      - name: ansible_podwright_ca_cert
    env:
      - name: K8S_AUTH_SSL_CA_CERT
  client_cert:
    description: Path of the client certificate.
    type: path
    vars:
      - name: ansible_podwright_client_cert
    env:
      - name: K8S_AUTH_CERT_FILE
  client_key:
    description: Path of the key of the client certificate.
    type: path
    vars:
      - name: ansible_podwright_client_key
    env:
      - name: K8S_AUTH_KEY_FILE
  proxy:
    description: URL of the HTTP proxy.
    type: str
    vars:
      - name: ansible_podwright_proxy
    env:
      - name: K8S_AUTH_PROXY
  no_proxy:
    description: Comma-separated host names, IP addresses and CIDRs that are reached without the proxy.
    type: str
    vars:
      - name: ansible_podwright_no_proxy
    env:
      - name: K8S_AUTH_NO_PROXY
  proxy_headers:
    description:
      - Headers of requests through the proxy, a mapping of V(basic_auth), V(proxy_basic_auth) and V(user_agent).
      - Each can be set by the environment variable E(K8S_AUTH_PROXY_HEADERS_BASIC_AUTH), E(K8S_AUTH_PROXY_HEADERS_PROXY_BASIC_AUTH) or
        E(K8S_AUTH_PROXY_HEADERS_USER_AGENT).
    type: dict
    vars:
      - name: ansible_podwright_proxy_headers
  impersonate_user:
    description: User to impersonate.
    type: str
    vars:
      - name: ansible_podwright_impersonate_user
    env:
      - name: K8S_AUTH_IMPERSONATE_USER
  impersonate_groups:
    description: Groups to impersonate.
    type: list
    elements: str
    vars:
      - name: ansible_podwright_impersonate_groups
    env:
      - name: K8S_AUTH_IMPERSONATE_GROUPS
  context:
    description: Context of the kubeconfig.
    type: str
    vars:
      - name: ansible_podwright_context
    env:
      - name: K8S_AUTH_CONTEXT
  kubeconfig:
    description:
      - Path of a kubeconfig file, its content as YAML or JSON text, or its content as a mapping. Several paths separated by C(:) are merged
        like C(kubectl) merges them.
    type: raw
    vars:
      - name: ansible_podwright_kubeconfig
    env:
      - name: K8S_AUTH_KUBECONFIG
"""

EXAMPLES = r"""
- name: Add a pod to the inventory
  ansible.builtin.add_host:
    name: toolbox
    ansible_connection: podwright.core.pod
    ansible_podwright_namespace: default
    ansible_python_interpreter: /usr/bin/python3
"""

import importlib
import os
import time
from dataclasses import replace

from ansible.errors import AnsibleConnectionFailure, AnsibleError, AnsibleFileNotFound
from ansible.module_utils.common.text.converters import to_bytes, to_text
from ansible.plugins.connection import ConnectionBase

from ansible_collections.podwright.core.plugins.module_utils import _bytecode  # pylint: disable=unused-import
from ansible_collections.podwright.core.plugins.module_utils._engine.arguments import CONNECTION
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec import Process
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_command import Command, Container
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_stream import NOT_YET, STDOUT
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError

ENGINE = "ansible_collections.podwright.core.plugins.module_utils._engine"
MAX_OUTPUT = 1 << 28  # bytes of a command, which Ansible keeps in memory several times
# Added to errors of these reasons, whose hints are for modules.
HINTS = {
    "NoShell": "Ansible needs one: run programs with podwright.core.pod_exec and a list as command, and copy files with podwright.core.pod_copy.",
    "NoTools": "This is an option of podwright.core.pod_copy, which copies to such images.",
}
# Reasons of a file or a command: the host is reachable, which Ansible would give up otherwise.
OF_TASK = frozenset(("BadOption", "BadPassword", "Changed", "CopyFailed", "NoSize", "NoSpace", "NoTools", "ReadFailed", "TooLarge", "WriteFailed"))
PROMPT_SECONDS = 10
PROMPT_WINDOW = 1 << 12  # bytes in which a prompt must appear at once


class Connection(ConnectionBase):
    """A connection to one container."""

    transport = "podwright.core.pod"
    has_pipelining = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._client = None

    def _connect(self):
        if self._client is None:
            options = {name: self.get_option(name) for name in CONNECTION if self.has_option(name)}
            self._client = _guard(lambda: Client(Configuration(options)))
            namespace, pod = self.get_option("namespace") or self._client.configuration.namespace, self.get_option("pod") or self.get_option("host_name")
            self._container = Container(namespace, pod, self.get_option("container") or None)
            self._connected = True
        return self

    def exec_command(self, cmd, in_data=None, sudoable=True):
        """Run a command line of a shell. Returns: (exit code, standard output, standard error)."""
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        self._connect()
        self._show(f"EXEC {to_text(cmd, errors='replace')}")
        data, line = to_bytes(in_data or b"", errors="surrogate_or_strict"), to_bytes(cmd, errors="surrogate_or_strict")
        success = to_bytes(self.become.success) if sudoable and self.become else b""  # what it prints, if it is in the line
        become = self.become if success and success in line else None
        conversation = _Conversation(become, data, self.get_option("timeout") or PROMPT_SECONDS)
        command = Command(_words(self._play_context.executable or "/bin/sh", line))
        if conversation.has_input:
            command = replace(command, source=conversation.input, size=None if conversation.expects_prompt else len(data))
        return _guard(lambda: self._converse(command, conversation))

    def _converse(self, command, conversation):
        with Process(self._client, self._container, command) as process:
            for stream, data in process:
                conversation.add_output(stream, data)
        return process.rc, bytes(conversation.stdout), bytes(conversation.stderr)

    def put_file(self, in_path, out_path):
        """Copy a file into the container."""
        super().put_file(in_path, out_path)
        self._connect()
        self._show(f"PUT {in_path} TO {out_path}")
        _check_paths(in_path, out_path)
        if not os.path.exists(in_path):
            raise _FileNotFound(f"File {in_path} not found on the Ansible Controller; it cannot be copied to {self._container}.")
        _guard(lambda: _copies().put_file(self._client, self._container, in_path, out_path))

    def fetch_file(self, in_path, out_path):
        """Copy a file out of the container."""
        super().fetch_file(in_path, out_path)
        self._connect()
        self._show(f"FETCH {in_path} TO {out_path}")
        _check_paths(in_path, out_path)
        if not _guard(lambda: _copies().fetch_file(self._client, self._container, in_path, out_path)):
            raise _FileNotFound(f"File {in_path} not found in {self._container}.")

    def _show(self, text):
        """Show a step with -vvv, as the connections of Ansible do, but not the command of a task with `no_log`."""
        if not self._play_context.no_log:
            self._display.vvv(text, host=f"{self._container.namespace}/{self._container.pod}")

    def reset(self):
        """Close the connections; the next command opens them with the current credentials."""
        self.close()

    def close(self):
        """Close the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None
        self._connected = False


class _FileNotFound(AnsibleFileNotFound):
    """The error for a file that does not exist; its base class adds that the controller lacks it, also if that is not so."""

    _default_help_text = None

    def __init__(self, message):
        AnsibleError.__init__(self, message)  # pylint: disable=non-parent-init-called,super-init-not-called


class _Conversation:
    """The input and output of one command: sends the password of `become` after its prompt, and input only after `become` has succeeded.

    Args:
        become: the plugin by which the command changes its user, or None.

    Attributes:
        expects_prompt: whether a password is sent if a prompt asks for it.
        has_become: whether the user has been changed, if it has to.
    """

    def __init__(self, become, in_data, prompt_seconds=PROMPT_SECONDS):
        self._become, self._in_data, self._seconds = become, in_data, prompt_seconds
        self._prompt_at = time.monotonic() + prompt_seconds
        self._has_prompt = False
        self.has_become = become is None
        self.expects_prompt = bool(become and become.expect_prompt())
        self.has_input = bool(in_data) or self.expects_prompt
        self.stdout, self.stderr = bytearray(), bytearray()

    def input(self):
        """Pieces of standard input; NOT_YET until the prompt has appeared, or become needs no password, and until it has succeeded."""
        while not self.has_become and not self._has_prompt:
            yield self._wait("The prompt for the password of become did not appear" if self.expects_prompt else "become did not succeed")
        if not self.has_become:
            yield to_bytes(self._become.get_option("become_pass") or "", errors="surrogate_or_strict") + b"\n"
            self._prompt_at = time.monotonic() + self._seconds
        while not self.has_become:
            yield self._wait("become did not succeed with its password")
        if self._in_data:
            yield self._in_data

    def _wait(self, problem):
        """NOT_YET. Raises: PodwrightError after the timeout."""
        if time.monotonic() > self._prompt_at:
            printed = bytes((self.stdout + self.stderr)[-200:]).decode("utf-8", "replace").strip()
            hint = "Check become_method and become_exe; ansible_timeout sets how long to wait."
            raise PodwrightError(f"{problem}; printed was {printed!r}.", reason="NoPrompt", hint=hint)
        return NOT_YET

    def add_output(self, stream, data):
        """Add a piece of output."""
        output = self.stdout if stream == STDOUT else self.stderr
        output += data
        if len(self.stdout) + len(self.stderr) > MAX_OUTPUT:
            raise PodwrightError(
                f"The command printed more than {MAX_OUTPUT >> 20} MiB.", reason="TooLarge", hint="Redirect its output to a file, and fetch that."
            )
        if not self.has_become:
            self._examine(output, bytes(output[-PROMPT_WINDOW - len(data) :]))

    def _examine(self, output, content):
        """What the end of an output says about become. What a stream printed up to the prompt is dropped."""
        become = self._become
        if become.check_success(content):
            self.has_become = True
        elif become.check_incorrect_password(content) or (self.expects_prompt and self._has_prompt and become.check_password_prompt(content)):
            raise _password_error("Incorrect", become)
        elif become.check_missing_password(content):
            raise _password_error("Missing", become)
        elif self.expects_prompt and become.check_password_prompt(content):
            self._has_prompt = True
            output.clear()


def _password_error(problem, become):
    return PodwrightError(f"{problem} {become.name} password.", reason="BadPassword", hint="Set ansible_become_password, or check it.")


def _words(shell, line):
    """The words that run a command line, bytes, in a shell. Words of a container must be UTF-8."""
    try:
        return [shell, "-c", line.decode()]
    except UnicodeDecodeError:
        scripts = importlib.import_module(f"{ENGINE}.transfer.scripts")
        return [shell, "-c", 'line=$(printf %b "$1"); exec "$0" -c "$line"', shell, scripts.escape(line)]


def _check_paths(*paths):
    """Check that paths can be those of files. Raises: AnsibleError."""
    for path in paths:
        try:
            is_valid = path and b"\0" not in to_bytes(path, errors="surrogate_or_strict")
        except UnicodeEncodeError:
            is_valid = False
        if not is_valid:
            raise AnsibleError(f"A file cannot be copied to or from {path!r}: a path must not be empty or contain NUL or characters that cannot be encoded.")


def _copies():
    """The part of the engine that copies files. Ansible loads this plugin in the process of each task, most of which copy none."""
    return importlib.import_module(f"{ENGINE}.transfer.single_file")


def _guard(function):
    """Call a function of the engine; its errors become connection failures, which mark the host as unreachable, but for those OF_TASK."""
    try:
        return function()
    except PodwrightError as error:
        message = " ".join(filter(None, (str(error), HINTS.get(error.reason))))
        failure = AnsibleError if error.reason in OF_TASK else AnsibleConnectionFailure
        raise failure(message) from None  # the message is complete; Ansible would add the cause to it
