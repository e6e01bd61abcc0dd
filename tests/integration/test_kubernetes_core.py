# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What users of kubernetes.core expect of the modules that replace its own, as actions and as modules."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret

from ..support.environment import KUBECONFIG
from ..unit.stub_server import Response, StubServer

MODES = pytest.mark.parametrize("mode", ["action", "module"])


def tasks(text):
    return yaml.safe_load(text)


@MODES
def test_objects_are_read_by_any_name_of_their_kind_in_all_namespaces_and_in_pages(mode, play, make_namespace):
    one, two = make_namespace(), make_namespace()
    text = f"""
    - podwright.core.resource_set:
        definition:
          - {{kind: configmap, metadata: {{name: settings, namespace: {one}, labels: {{page: {one}}}}}}}
          - {{kind: ConfigMap, metadata: {{name: settings, namespace: {two}, labels: {{page: {one}}}}}}}
          - {{kind: secrets, metadata: {{name: login, namespace: {one}}}, stringData: {{password: canary-of-the-secret}}}}
    - podwright.core.pod_info: {{kind: cm, all_namespaces: true, label_selectors: [page={one}], limit: 1, hidden_fields: [metadata.uid]}}
      register: first
    - podwright.core.pod_info:
        {{kind: configmaps, all_namespaces: true, label_selectors: [page={one}], limit: 1, continue_token: "{{{{ first.continue_token }}}}"}}
      register: second
    - podwright.core.pod_info: {{kind: deploy, metadata_only: true}}
      register: nothing
    - podwright.core.pod_info: {{kind: Secret, name: login, namespace: {one}, secret_values: true}}
      no_log: true
      register: secret
    - podwright.core.pod_info: {{kind: Secret, name: login, namespace: {one}, secret_values: true}}
      register: refused
      failed_when: refused is not failed or 'no_log' not in refused.msg
    - ansible.builtin.assert:
        that:
          - first.truncated and first.resources | length == second.resources | length == 1
          - "[first.resources[0].metadata.namespace, second.resources[0].metadata.namespace] | sort == ['{one}', '{two}'] | sort"
          - first.resources[0].metadata.uid is not defined and second.resources[0].metadata.uid is defined
          - nothing.api_found and nothing.resources == []
          - (secret.resources[0].data.password | b64decode) == 'canary-of-the-secret'
    """
    played = play(tasks(text), mode=mode)
    assert "canary-of-the-secret" not in played.output


@MODES
def test_reviews_are_answered_and_an_empty_template_is_an_empty_set(mode, play, namespace, tmp_path):
    (tmp_path / "empty.yml.j2").write_text("{% for name in [] %}\n---\nkind: ConfigMap\n{% endfor %}\n")
    text = """
    - podwright.core.resource_set:
        definition: {apiVersion: authorization.k8s.io/v1, kind: SelfSubjectAccessReview, spec: {resourceAttributes: {resource: pods, verb: create}}}
      register: review
    - podwright.core.resource_set: {template: empty.yml.j2}
      register: empty
    - podwright.core.resource_set:
        definition: {apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {a: b}, ports: [{port: 80}]}}
      check_mode: true
      register: predicted
    - ansible.builtin.assert:
        that:
          - review is not changed and review.resources[0].status.allowed and review.plan[0].action == 'none'
          - empty is not changed and empty.summary == {}
          - predicted is changed and predicted.resources[0].spec.type == 'ClusterIP'
          - predicted.plan[0].patch[0].value.spec.type is not defined
    """
    play(tasks(text), mode=mode, namespace=namespace)


def test_an_encrypted_kubeconfig_beside_the_play_is_decrypted(play, namespace, tmp_path):
    password = tmp_path / "password"
    password.write_text("vault")
    (tmp_path / "files").mkdir()
    vault = VaultLib([("default", VaultSecret(b"vault"))])
    (tmp_path / "files/encrypted").write_bytes(vault.encrypt(Path(KUBECONFIG).read_bytes()))
    text = "- podwright.core.pod_info: {kubeconfig: encrypted, kind: Namespace}"
    play(tasks(text), "--vault-password-file", str(password), namespace=namespace)


@MODES
def test_objects_are_described_by_options_patched_and_deleted_by_selectors(mode, play, namespace):
    text = """
    - podwright.core.resource_set: {kind: configmap, name: settings, definition: {metadata: {labels: {app: web}}, data: {a: "1", b: "2"}}}
    - podwright.core.resource_set: {kind: ConfigMap, name: settings, state: patched, definition: {data: {b: null, c: "3"}}}
      check_mode: true
      register: predicted
    - podwright.core.resource_set: {kind: ConfigMap, name: settings, state: patched, definition: {data: {b: null, c: "3"}}}
      register: patched
    - podwright.core.resource_set: {kind: ConfigMap, name: settings, state: patched, definition: {data: {b: null, c: "3"}}}
      register: again
    - podwright.core.resource_set:
        {kind: ConfigMap, name: settings, state: patched, patch: [{op: test, path: /data/a, value: "1"}, {op: move, from: /data/a, path: /data/z}]}
      register: moved
    - podwright.core.resource_set: {kind: ConfigMap, name: settings, state: patched, patch: [{op: test, path: /data/z, value: "2"}]}
      register: refused
      failed_when: refused is not failed
    - podwright.core.resource_set: {kind: ConfigMap, generate_name: run-, definition: {metadata: {labels: {app: web}}}}
      register: generated
    - podwright.core.resource_set: {kind: ConfigMap, name: settings, state: absent, delete_options: {preconditions: {uid: other}}}
      register: kept
      failed_when: kept is not failed or kept.reason != 'Conflict'
    - podwright.core.resource_set: {kind: cm, state: absent, label_selectors: [app=web]}
      register: deleted
    - podwright.core.resource_set:
        continue_on_error: true
        definition:
          - {kind: ConfigMap, metadata: {name: wrong}, dat: {}}
          - {kind: Service, metadata: {name: right}, spec: {ports: [{port: 80}]}}
      register: partial
      failed_when: partial is not failed
    - ansible.builtin.assert:
        that:
          - patched.result.data == {'a':'1', 'c':'3'} and patched.plan == predicted.plan and again is not changed
          - moved.result.data == {'z':'1', 'c':'3'} and moved is changed
          - generated.result.metadata.name is match('run-.....')
          - "deleted.plan | map(attribute='name') | sort == ['settings', generated.result.metadata.name] | sort"
          - "partial.plan | map(attribute='action') | list == ['none', 'create'] and partial.plan[0].note != ''"
    """
    play(tasks(text), mode=mode, namespace=namespace)


CONDITION = {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"}


@MODES
def test_manifests_come_from_urls_and_lists_of_templates_and_conditions_are_awaited(mode, play, namespace, tmp_path):
    (tmp_path / "included.j2").write_text("data: {value: from-include}\n")
    (tmp_path / "one.j2").write_text("kind: ConfigMap\nmetadata: {name: '{{ name }}'}\n{% include 'included.j2' %}\n")
    (tmp_path / "two.j2").write_text("kind: ConfigMap\nmetadata: {name: [[ name ]]-2}\n[% if true %]\n[% include 'included.j2' %]\n[% endif %]\n")
    text = """
    - podwright.core.resource_set: {src: "{{ url }}/web.yml?token={{ token }}"}
      register: downloaded
    - podwright.core.resource_set: {src: "{{ url }}/missing?token={{ token }}"}
      register: missing
      ignore_errors: true
    - podwright.core.resource_set: {template: [one.j2, {path: two.j2, variable_start_string: "[[", variable_end_string: "]]", block_start_string: "[%",
                                                        block_end_string: "%]"}]}
      register: two
      vars: {name: same}
    - podwright.core.resource_set: {template: {path: one.j2, nope: 1}}
      register: unknown
      ignore_errors: true
    - podwright.core.resource_set:
        wait_condition: "{{ condition }}"
        definition: &web
          kind: Deployment
          metadata: {name: web}
          spec:
            replicas: 0
            selector: {matchLabels: {app: web}}
            template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: busybox}]}}
      register: available
    - podwright.core.resource_set: {wait_condition: {type: Never}, wait_timeout: 1, definition: *web}
      register: never
      failed_when: never is not failed or 'condition Never is missing' not in never.msg
    - ansible.builtin.assert:
        that:
          - downloaded.result.data.url == 'yes'
          - missing is failed and '404' in missing.msg and unknown is failed and 'unknown option nope' in unknown.msg
          - two.resources | map(attribute='metadata.name') | list == ['same', 'same-2']
          - two.resources | map(attribute='data.value') | unique == ['from-include']
          - available.result.status.conditions | selectattr('type', 'equalto', 'Available') | map(attribute='status') | first == 'True'
    """

    def respond(handler):
        body = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {url: 'yes'}\n"
        return Response(200, body, {"Content-Type": "text/yaml"}) if handler.path.startswith("/web.yml") else Response(404, b"", {})

    with StubServer(respond) as server:
        variables = {"url": server.url, "token": "canary-of-the-url", "condition": CONDITION}
        assert "canary-of-the-url" not in play(tasks(text), mode=mode, namespace=namespace, variables=variables).output


def test_output_of_commands_is_shown_as_it_is_received_with_the_names_of_several_pods(play, namespace):
    text = """
    - podwright.core.task_pod:
        {tasks: [{name: one}, {name: two}], image: busybox, image_pull_policy: IfNotPresent, command: [sleep, "600"], termination_grace_period: 0}
    - podwright.core.pod_exec: &command
        {label_selectors: [app.kubernetes.io/managed-by=podwright], command: [sh, -c, "echo from-$HOSTNAME; echo to-stderr >&2"], stream: true}
    - podwright.core.pod_exec: {pod: one, command: [echo, alone], stream: true}
    - podwright.core.pod_exec: *command
      no_log: true
    """
    lines = [line.strip() for line in play(tasks(text), namespace=namespace).output.splitlines()]
    for line in ("one | from-one", "two | from-two", "one | to-stderr", "| alone"):
        assert lines.count(line) == 1, line


def test_the_lookup_reads_objects_by_name_and_by_selectors(play, namespace):
    text = f"""
    - podwright.core.resource_set:
        definition:
          - {{kind: ConfigMap, metadata: {{name: one, labels: {{app: web}}}}}}
          - {{kind: ConfigMap, metadata: {{name: two, labels: {{app: web}}}}}}
          - {{kind: Secret, metadata: {{name: login}}, stringData: {{password: canary-of-the-lookup}}}}
    - ansible.builtin.assert:
        quiet: true
        that:
          - query('podwright.core.objects', 'one', 'nobody', kind='cm', namespace=ns, kubeconfig=config) | map(attribute='metadata.name') == ['one']
          - query('podwright.core.objects', kind='cm', namespace=ns, label_selectors=['app=web'], kubeconfig=config) | length == 2
          - query('podwright.core.objects', 'login', kind='Secret', namespace=ns, kubeconfig=config)[0].data.password is match('secret:')
      vars: &vars {{ns: {namespace}, config: {KUBECONFIG}}}
    - ansible.builtin.assert:
        that: (query('podwright.core.objects', 'login', kind='Secret', namespace=ns, secret_values=true, kubeconfig=config)[0].data.password | b64decode)
          == 'canary-of-the-lookup'
        quiet: true
      no_log: true
      vars: *vars
    - ansible.builtin.debug: {{msg: "{{{{ query('podwright.core.objects', kind='Confgmap', kubeconfig=config) }}}}"}}
      vars: *vars
      ignore_errors: true
    """
    output = play(tasks(text), namespace=namespace).output
    assert "similar kinds: ConfigMap (v1)" in output and "canary" not in output
