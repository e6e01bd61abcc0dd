# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What users of kubernetes.core expect of the modules that replace its own, as actions and as modules."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret

from ..support.environment import KUBECONFIG

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
