# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The guide for users of kubernetes.core names each option of its modules, and only options that exist here."""

from __future__ import annotations

import importlib
import re

import pytest

from ..support.documents import read_yaml
from ..support.environment import ROOT

GUIDE = (ROOT / "docs/guides/from-kubernetes-core.md").read_text()
ENGINE = "ansible_collections.podwright.core.plugins.module_utils._engine.operations"
WAIT = "wait wait_sleep wait_timeout"
# The options of kubernetes.core 6.4, without those of its connection.
OPTIONS = {
    "Connection": "host api_key kubeconfig context username password client_cert client_key ca_cert validate_certs proxy no_proxy proxy_headers"
    " persist_config impersonate_user impersonate_groups",
    "k8s": "api_version kind name namespace resource_definition src template state force merge_type validate append_hash apply server_side_apply"
    f" continue_on_error label_selectors generate_name delete_all delete_options hidden_fields {WAIT} wait_condition",
    "k8s_json_patch": f"api_version kind namespace name patch hidden_fields {WAIT} wait_condition",
    "k8s_info": f"api_version kind name namespace label_selectors field_selectors hidden_fields metadata_only {WAIT} wait_condition",
    "k8s_exec": "namespace pod container command proxy",
    "k8s_cp": "namespace pod container remote_path local_path content state no_preserve",
    "k8s_log": "api_version kind name namespace label_selectors container since_seconds previous tail_lines all_containers",
    "k8s_scale": f"api_version kind name namespace label_selectors continue_on_error replicas current_replicas resource_version resource_definition src {WAIT}",
    "k8s_service": "name namespace type ports selector resource_definition src state force merge_type apply",
    "k8s_rollback": "kind name namespace api_version label_selectors field_selectors",
    "k8s_drain": "state name pod_selectors delete_options",
    "k8s_taint": "state name taints replace",
    "k8s_cluster_info": "invalidate_cache",
    "kubectl": "kubectl_pod kubectl_container kubectl_namespace kubectl_extra_args kubectl_local_env_vars kubectl_kubeconfig kubectl_context kubectl_host"
    " kubectl_username kubectl_password kubectl_token client_cert client_key ca_cert validate_certs",
}
HEADING = re.compile(r"^## (\w+)(?:: (.*))?$", re.MULTILINE)
ROW = re.compile(r"^\| `(\w+)` \| (.*) \|$", re.MULTILINE)
# What rows name besides options: values, results and what belongs to the peer.
OTHERS = {"v1", "Pod", "false", "kubectl drain", "force_conflicts: true", "k8s_cp", "k8s", "pod_deployment", "cluster", "api_found", "kubectl"}


def sections():
    """(module of kubernetes.core, module here, option -> what it is here) of each table of options."""
    headings = list(HEADING.finditer(GUIDE))
    for heading, following in zip(headings, [*headings[1:], None]):
        if heading[1] in OPTIONS:
            yield heading[1], heading[2], dict(ROW.findall(GUIDE[heading.end() : following.start() if following else None]))


def names_of(arguments):
    """The options of an argument spec with their aliases, without suboptions."""
    return {name for option, spec in arguments.items() for name in (option, *spec.get("aliases", ()))}


def options_here(module):
    if module == "the connection plugin pod":
        text = (ROOT / "plugins/connection/pod.py").read_text()
        documentation = read_yaml(re.search(r'DOCUMENTATION = r"""\n(.*?)"""', text, re.DOTALL)[1])
        return {variable["name"] for option in documentation["options"].values() for source in ("vars", "env") for variable in option.get(source, [])}
    return names_of(importlib.import_module(f"{ENGINE}.{module or 'resource_set'}").ARGUMENTS)


@pytest.mark.parametrize(("peer", "module", "rows"), list(sections()), ids=[section[0] for section in sections()])
def test_each_option_has_a_row_and_what_it_names_exists(peer, module, rows):
    assert sorted(rows) == sorted(OPTIONS[peer].split())
    known = options_here(module)
    for option, here in rows.items():
        if here.startswith("same"):
            assert option in known, f"{module} has no option {option}"
        names = [name for name in re.findall(r"`([^`]+)`", here) if name not in OTHERS]
        unknown = [name for name in names if name.partition(":")[0] not in known and name != "state: rolled_back"]
        assert not unknown, f"{peer}.{option}: {unknown}"


def test_every_module_has_a_table():
    assert {section[0] for section in sections()} == set(OPTIONS)
