# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Playbooks of kubernetes.core are rewritten as far as that is mechanical, and nothing else in them changes."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import textwrap

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from hypothesis import given, settings
from hypothesis import strategies as st

from ..support.documents import read_yaml
from ..support.environment import ROOT
from .test_roles import trust_as_template

SCRIPT = ROOT / "playbooks/files/migrate.py"
specification = importlib.util.spec_from_file_location("migrate", SCRIPT)
migrate = importlib.util.module_from_spec(specification)
sys.modules["migrate"] = migrate
specification.loader.exec_module(migrate)


def migrated(text):
    """(the rewritten text, the reports) of a text with indentation."""
    done = migrate.rewrite(textwrap.dedent(text))
    return done.rewritten, [report for _index, report in sorted(done.reports)]


def rewritten(text, expected, *reports):
    result, reported = migrated(text)
    assert result == textwrap.dedent(expected)
    assert len(reported) == len(reports) and all(part in report for part, report in zip(reports, reported)), reported


def unchanged(text, *reports):
    rewritten(text, text, *reports)


@pytest.mark.parametrize("prefix", ["community.okd.", "redhat.openshift."])
def test_k8s_of_openshift_is_rewritten(prefix):
    rewritten(f"- {prefix}k8s: {{wait: true, kind: Route, name: r}}\n", "- podwright.core.resource_set: {wait: true, kind: Route, name: r}\n")
    unchanged(f"- other.module: {{x: {prefix}k8s}}\n", f"{prefix}k8s is left as it is")


@pytest.mark.parametrize("prefix", ["kubernetes.core.", "community.kubernetes.", ""])
def test_names_of_modules_change_and_comments_and_formatting_stay(prefix):
    rewritten(
        f"""\
        ---
        # a role's tasks
        -   name:   "odd   spacing"   # kept
            {prefix}k8s_exec:   # the module
                pod: 'web'
                command: >-
                  echo {{{{ x }}}}
                  {prefix}k8s_exec


            when: x   is defined
        """,
        f"""\
        ---
        # a role's tasks
        -   name:   "odd   spacing"   # kept
            podwright.core.pod_exec:   # the module
                pod: 'web'
                command: >-
                  echo {{{{ x }}}}
                  {prefix}k8s_exec


            when: x   is defined
        """,
        *(["left as it is"] if prefix else []),
    )


def test_k8s_keeps_its_default_of_wait_and_loses_what_always_holds():
    rewritten(
        """\
        - kubernetes.core.k8s:
            apply: true   # server side
            # about the name
            name: shop
            kind: Namespace
            force: no
            state: present
        - k8s: {apply: yes, name: shop, kind: Namespace, force: false}
        - k8s: {wait: true, definition: "{{ lookup('file', 'x.yml') }}"}
        """,
        """\
        - podwright.core.resource_set:
            wait: false
            # about the name
            name: shop
            kind: Namespace
            state: present
        - podwright.core.resource_set: {wait: false, name: shop, kind: Namespace}
        - podwright.core.resource_set: {wait: true, definition: "{{ lookup('file', 'x.yml') }}"}
        """,
    )


def test_a_name_gets_the_kind_of_the_manifest_that_it_completes():
    rewritten(
        "- k8s: {wait: yes, name: a, definition: {apiVersion: v1, kind: Pod}}\n",
        "- podwright.core.resource_set: {kind: Pod, wait: yes, name: a, definition: {apiVersion: v1, kind: Pod}}\n",
    )


def test_server_side_apply_becomes_its_options():
    rewritten(
        """\
        - k8s:
            src: web.yml
            wait: true
            server_side_apply:
              field_manager: "{{ me }}"  # who
              force_conflicts: true
            # the end
        """,
        """\
        - podwright.core.resource_set:
            field_manager: "{{ me }}"
            conflicts: take
            src: web.yml
            wait: true
            # the end
        """,
    )


def test_blocks_handlers_actions_and_nested_lists_are_searched():
    rewritten(
        """\
        - hosts: all
          pre_tasks:
            - block:
                - k8s_log: {name: a}
              rescue:
                - local_action: k8s_exec pod=a command="ls -l"
              always:
                - action: {module: k8s_log, name: a}
          handlers:
            - listen: x
              action: kubernetes.core.k8s_log
              args:
                name: a
        """,
        """\
        - hosts: all
          pre_tasks:
            - block:
                - podwright.core.pod_logs: {name: a}
              rescue:
                - local_action: podwright.core.pod_exec pod=a command="ls -l"
              always:
                - action: {module: podwright.core.pod_logs, name: a}
          handlers:
            - listen: x
              action: podwright.core.pod_logs
              args:
                name: a
        """,
    )


def test_module_defaults_and_action_groups_change_and_count_as_options():
    rewritten(
        """\
        - hosts: localhost
          module_defaults:
            group/kubernetes.core.k8s: {host: h, persist_config: true}
            kubernetes.core.k8s:
              wait: true
          tasks:
            - k8s: {kind: Namespace, name: a}
            - k8s_info: {kind: Service}
        """,
        """\
        - hosts: localhost
          module_defaults:
            group/podwright.core.all: {host: h}
            podwright.core.resource_set:
              wait: true
          tasks:
            - podwright.core.resource_set: {kind: Namespace, name: a}
            - podwright.core.pod_info: {kind: Service}
        """,
        "persist_config was removed",
    )


LEFT_FOR_DEFAULTS = "is left as it is, since it would get other module_defaults: set "
NEEDED = "is left as it is, since tasks that are left as they are need it"


@pytest.mark.parametrize(
    ("defaults", "tasks", "changed", "reports"),
    [
        (
            "k8s: {namespace: prod, state: absent}",
            [
                "k8s_json_patch: {kind: Pod, name: a, namespace: b, patch: []}",
                "k8s_service: {name: a}",
                "k8s_service: {name: a, namespace: b, state: present}",
                "k8s: {kind: Pod, name: a}",
            ],
            {"0", "1", "3", "4"},
            [f"k8s_service {LEFT_FOR_DEFAULTS}namespace, state in it"],
        ),
        ("k8s: {namespace: a}, k8s_json_patch: {namespace: b}", ["k8s: {src: a}", "k8s_json_patch: {name: a}"], {"0", "1"}, ["merge it", LEFT_FOR_DEFAULTS]),
        ("k8s_json_patch: {namespace: b}", ["k8s: {src: a}", "k8s_json_patch: {name: a}"], {"0", "2"}, [LEFT_FOR_DEFAULTS]),
        ("k8s_service: {namespace: a}", ["k8s_service: {name: a}"], set(), ["kind: Service", LEFT_FOR_DEFAULTS]),
        ("k8s: {namespace: a}", ["k8s: {src: a, force: true}", "k8s: {src: a}"], set(), [NEEDED, "k8s: force", LEFT_FOR_DEFAULTS]),
        ("k8s: {wait: true}", ["podwright.core.resource_set: {src: a}"], set(), ["or others would get it"]),
        ("podwright.core.resource_set: {namespace: a}", ["k8s: {src: a}"], set(), [LEFT_FOR_DEFAULTS]),
        ("podwright.core.resource_set: {state: x}", ["{podwright.core.resource_set: {src: a}, module_defaults: {k8s: {}}}"], set(), [NEEDED]),
        ('k8s: "{{ defaults }}"', ["k8s: {src: a}"], set(), ["are a template", f"{LEFT_FOR_DEFAULTS}their options in it"]),
        ("group/k8s: {host: h}", ["k8s_drain: {name: a}", "k8s_info: {kind: Node}"], set(), [NEEDED, "kubectl drain", LEFT_FOR_DEFAULTS]),
        ("group/k8s: {host: h}", ["k8s_taint: {name: a}", "k8s_json_patch: {name: a}"], {"0"}, ["spec.taints", LEFT_FOR_DEFAULTS]),
        ("group/k8s: {persist_config: true}", ["k8s_info: {kind: Node}"], {"1"}, ["group/k8s: remove it"]),
        ("group/k8s: {apply: true}", ["k8s: {src: a}"], set(), ["group/k8s: remove apply", LEFT_FOR_DEFAULTS]),
        ("group/k8s: {host: h}", ["include_tasks: a.yml"], {"0"}, ["roles and included files"]),
    ],
)
def test_tasks_get_the_module_defaults_that_they_got(defaults, tasks, changed, reports):
    lines = [f"  module_defaults: {{{defaults}}}", "  tasks:", *(f"    - {task}" for task in tasks)]
    result, reported = migrated("- hosts: all\n" + "\n".join(lines) + "\n")
    numbers = {str(max(number - 1, 0)) for number, (line, now) in enumerate(zip(lines, result.splitlines()[1:], strict=True)) if line != now}
    assert numbers == changed, result
    assert len(reported) == len(reports) and all(part in report for part, report in zip(reports, reported)), reported


def test_pods_of_all_namespaces_need_an_option():
    rewritten(
        """\
        - k8s_info:
            kind: pods
        - k8s_info: {kind: Service}
        - k8s_info: {kind: Pod, namespace: a}
        - k8s_info: {kind: Pod, namespace: ""}
        - k8s_info:
            kind: Pod
            namespace:
        - k8s_info: {kind: Pod, namespace: "{{ ns | default(omit) }}", name: a}
        - k8s_info: {kind: "{{ kind }}", namespace: "{{ ns }}"}
        - k8s_info: {kind: Secret, name: s}
        """,
        """\
        - podwright.core.pod_info:
            all_namespaces: true
            kind: pods
        - podwright.core.pod_info: {kind: Service}
        - podwright.core.pod_info: {kind: Pod, namespace: a}
        - podwright.core.pod_info: {all_namespaces: true, kind: Pod, namespace: ""}
        - podwright.core.pod_info:
            all_namespaces: true
            kind: Pod
            namespace:
        - podwright.core.pod_info: {kind: Pod, namespace: "{{ ns | default(omit) }}", name: a}
        - podwright.core.pod_info: {kind: "{{ kind }}", namespace: "{{ ns }}"}
        - podwright.core.pod_info: {kind: Secret, name: s}
        """,
        "secret_values",
    )


def test_output_of_commands_keeps_its_last_line_breaks_if_it_is_used():
    rewritten(
        """\
        - k8s_exec: {pod: a, command: ls}
        - k8s_exec:
            pod: a
            command: ls
          register: listed
        """,
        """\
        - podwright.core.pod_exec: {pod: a, command: ls}
        - podwright.core.pod_exec:
            strip_empty_ends: false
            pod: a
            command: ls
          register: listed
        """,
    )


def test_logs_of_one_container_are_read():
    rewritten(
        "- k8s_log: {name: a, kind: Pod, label_selectors: [], all_containers: no}\n",
        "- podwright.core.pod_logs: {name: a, kind: Pod, label_selectors: [], all_containers: no}\n",
    )


def test_services_become_objects_with_a_spec():
    rewritten(
        """\
        - kubernetes.core.k8s_service:
            state: present
            name: web
            namespace: shop
            ports:
            - port: 443  # https

              protocol: TCP
            selector:
                app: web
            apply: true
          register: service
        - k8s_service: {name: web, namespace: shop, type: NodePort, ports: [{port: 80}]}
        - k8s_service: {name: web, namespace: shop, state: absent}
        """,
        """\
        - podwright.core.resource_set:
            kind: Service
            definition:
              spec:
                ports:
                - port: 443  # https

                  protocol: TCP
                selector:
                    app: web
            wait: false
            state: present
            name: web
            namespace: shop
          register: service
        - podwright.core.resource_set: {kind: Service, definition: {spec: {type: NodePort, ports: [{port: 80}]}}, wait: false, name: web, namespace: shop}
        - podwright.core.resource_set: {kind: Service, wait: false, name: web, namespace: shop, state: absent}
        """,
    )
    unchanged("- hosts: all\n  module_defaults: {k8s_service: {namespace: shop}}\n", "kind: Service")


@pytest.mark.parametrize(
    ("before", "after", "reports"),
    [
        ("query('kubernetes.core.k8s', kind='Deployment')", "query('podwright.core.objects', kind='Deployment')", []),
        (
            "lookup('community.kubernetes.k8s', kind='Pod', namespace=n).a",
            "lookup('podwright.core.objects', kind='Pod', namespace=n).a",
            [],
        ),
        ("q('k8s', kind='Pod', namespace='')", "q('podwright.core.objects', all_namespaces=true, kind='Pod', namespace='')", []),
        ("q( 'k8s', kind='pods')", "q( 'podwright.core.objects', all_namespaces=true, kind='pods')", []),
        ("q('k8s', src=f(x), kind='Pod')", "q('podwright.core.objects', src=f(x), kind='Pod')", []),
        ("q('k8s', kind=kind) + f(namespace=1)", "q('podwright.core.objects', kind=kind) + f(namespace=1)", ["all_namespaces=true"]),
        ("q('k8s', kind='Secret')", "q('podwright.core.objects', kind='Secret')", ["secret_values=true"]),
        ("lookup('kubernetes.core.kustomize', dir='a')", "lookup('kubernetes.core.kustomize', dir='a')", ["kubernetes.core.kustomize is left as it is"]),
    ],
)
def test_lookups_are_rewritten_in_expressions(before, after, reports):
    rewritten(f"- debug:\n    msg: >-\n      {{{{ {before} }}}}\n", f"- debug:\n    msg: >-\n      {{{{ {after} }}}}\n", *reports)
    unchanged(f"# {{{{ {before} }}}}\n")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("'{{ query(''k8s'', kind=''Pod'') }}'", "'{{ query(''podwright.core.objects'', all_namespaces=true, kind=''Pod'') }}'"),
        ("""'#1 {{ q("k8s", kind=''Job'') }}' # q('k8s')""", """'#1 {{ q("podwright.core.objects", kind=''Job'') }}' # q('k8s')"""),
        (r'''"#1 {{ q(\"k8s\", kind='Job') }}"''', r'''"#1 {{ q(\"podwright.core.objects\", kind='Job') }}"'''),
        ("|  # q('k8s')\n      # {{ q('k8s', kind='Job') }}", "|  # q('k8s')\n      # {{ q('podwright.core.objects', kind='Job') }}"),
        ("\"{{ q('k8s', kind='Pod', x=d('a)b'), src=x) }}\"", "\"{{ q('podwright.core.objects', kind='Pod', x=d('a)b'), src=x) }}\""),
        ("\"{{ q('k8s', kind='Pod', x=f(src='a')) }}\"", "\"{{ q('podwright.core.objects', all_namespaces=true, kind='Pod', x=f(src='a')) }}\""),
    ],
)
def test_lookups_are_found_whatever_the_quotes_and_not_in_comments(before, after):
    rewritten(f"- debug:\n    msg: {before}\n", f"- debug:\n    msg: {after}\n")


def test_lookups_in_options_that_are_removed_stay_removed():
    before = """- k8s: {kind: Pod, name: a, wait: true, apply: "{{ q('k8s', kind='Pod') }}", namespace: "{{ q(\\"k8s\\", kind=\\"Node\\") }}"}\n"""
    after = """- podwright.core.resource_set: {kind: Pod, name: a, wait: true, namespace: "{{ q(\\"podwright.core.objects\\", kind=\\"Node\\") }}"}\n"""
    rewritten(before, after)


@pytest.mark.parametrize(
    ("value", "reports"), [("[strategic-merge, merge]", []), ("strategic-merge", []), ("[merge]", ["merge_type was removed: lists"]), ("merge", ["lists"])]
)
def test_objects_are_applied_instead_of_merged(value, reports):
    rewritten(
        f"""\
        - k8s:
            merge_type: {value}
            src: a.yml
        """,
        """\
        - podwright.core.resource_set:
            wait: false
            src: a.yml
        """,
        *reports,
    )


def test_merge_types_of_patches_stay():
    rewritten("- k8s: {state: patched, wait: true, merge_type: merge}\n", "- podwright.core.resource_set: {state: patched, wait: true, merge_type: merge}\n")


def test_json_patches_become_patches():
    rewritten(
        """\
        - kubernetes.core.k8s_json_patch:
            kind: Pod
            name: a
            patch: [{op: remove, path: /a}]
        """,
        """\
        - podwright.core.resource_set:
            state: patched
            wait: false
            kind: Pod
            name: a
            patch: [{op: remove, path: /a}]
        """,
    )


def test_the_connection_and_its_variables_change():
    rewritten(
        """\
        - hosts: pods
          connection: kubernetes.core.kubectl
          vars: {ansible_kubectl_pod: a, ansible_kubectl_token: "{{ t }}"}
          roles: [{role: x, vars: {ansible_connection: 'community.kubernetes.kubectl'}}]
        """,
        """\
        - hosts: pods
          connection: podwright.core.pod
          vars: {ansible_podwright_pod: a, ansible_podwright_api_key: "{{ t }}"}
          roles: [{role: x, vars: {ansible_connection: 'podwright.core.pod'}}]
        """,
    )


@pytest.mark.parametrize(
    ("task", "report"),
    [
        ('k8s: "{{ options }}"', "write them as a mapping"),
        ("k8s: state=absent kind=Pod name=a", "write them as a mapping"),
        ('k8s: {name: a, definition: "{{ pod }}"}', "name of a set"),
        ("k8s: {kind: Pod, name: a, merge_type: [json]}", "state: patched"),
        ('k8s: {kind: Pod, name: a, merge_type: "{{ types }}"}', "state: patched"),
        ("k8s: {kind: Pod, name: a, force: true}", "force"),
        ('k8s: {kind: Pod, name: a, force: "{{ x }}"}', "force"),
        ('k8s: {src: a, server_side_apply: {force_conflicts: "{{ x }}"}}', "conflicts: take or fail"),
        ("k8s: {src: a, server_side_apply: {field_manager: &m me}}", "in one line"),
        ("k8s: {src: a, state: patched, merge_type: [json, merge]}", "for json use patch"),
        ('k8s: {src: a, state: patched, merge_type: "{{ x }}"}', "for json use patch"),
        ('k8s: {src: a, state: "{{ x }}", merge_type: merge}', "since state is a template"),
        ("k8s_service: {name: a, selector: {a: kubernetes.core.x}}", "kind: Service"),
        ("k8s_exec: pod=web command=ls persist_config=true", "write them as a mapping"),
        ("k8s_exec: [pod]", "write them as a mapping"),
        ("k8s_exec: {}", "write them as a mapping"),
        ("debug: {}\n  with_k8s: {kind: Pod}", "use loop with query"),
        ("k8s: {kind: Pod, name: a, wait_condition: {type: Ready}}", "wait: true"),
        ('k8s: {kind: Pod, name: a, server_side_apply: "{{ x }}"}', "server_side_apply"),
        ("k8s_scale: {src: a.yml, replicas: 1}", "src"),
        ("k8s_log: {kind: Deployment, name: a}", "it reads one of several pods"),
        ('k8s_log: {kind: "{{ kind }}", name: a}', "it reads one of several pods"),
        ("k8s_log: {label_selectors: [a=b]}", "it reads one of several pods"),
        ('k8s_log: {label_selectors: "{{ labels }}"}', "it reads one of several pods"),
        ("k8s_log: kind=Job name=a", "write them as a mapping"),
        ("k8s_log: {name: a, all_containers: true}", "the names of its pod and container"),
        ("k8s_exec: pod=web command=ls\n  register: listed", "write them as a mapping"),
        ('k8s_info: {kind: "{{ kind }}"}', "if kind can be Pod"),
        ('k8s_info: {kind: "{{ kind }}", namespace: ""}', "if kind can be Pod"),
        ('k8s_info: {kind: Pod, namespace: "{{ ns | default(omit) }}"}', "namespace can be empty"),
        ("k8s_info: {kind: Pod, namespace: \"{{ ns | d('') }}\"}", "namespace can be empty"),
        ('k8s_info: {kind: Pod, name: "{{ x if x else omit }}"}', "name can be empty"),
        ("k8s_drain: {name: a}", "kubectl drain"),
        ("kubernetes.core.helm: {name: a}", "kubernetes.core.helm: use kubernetes.core, since podwright.core has no counterpart for Helm"),
        ("helm_info: {name: a}", "has no counterpart for Helm"),
        ("action: community.kubernetes.helm_repository name=a", "has no counterpart for Helm"),
        ("debug: {}\n  module_defaults: {kubernetes.core.helm: {kubeconfig: k}}", "has no counterpart for Helm"),
        ("k8s_taint: {name: a}", "spec.taints"),
        ("k8s_rollback: {name: a}", "pod_deployment"),
        ("k8s_cluster_info:", "pod_info"),
        ("k8s_service: {name: a, src: a.yml, type: NodePort}", "kind: Service"),
        ('debug: {msg: "{{ created.result.results | length }}"}', "resources"),
        ("debug: {msg: \"{{ created['result']['results'] }}\"}", "resources"),
        ('debug: {msg: "{{ created.result[\\"results\\"] }}"}', "resources"),
        ("debug: {msg: '{{ created[''result''].results }}'}", "resources"),
        ('debug: {msg: "{{ created.method }}"}', "plan[0].action"),
        ("assert:\n    that: created['method'] == 'create'", "plan[0].action"),
        ('debug: {msg: "{{ secret.result.data.password | b64decode }}"}', "secret_values: true"),
        ('debug: {msg: "{{ log.log_lines | last }}"}', "empty last line"),
        ('debug: {msg: "{{ log.log_lines[-1] }}"}', "empty last line"),
        ("debug: {}\n  connection: \"{{ 'kubectl' }}\"", "since it is a template"),
        ("debug: {}\n  vars: {tool: {connection: kubectl}}", "may be other data"),
    ],
)
def test_what_is_not_mechanical_is_reported_and_left(task, report):
    unchanged(f"- {task}\n", report)


@pytest.mark.parametrize(
    "text",
    [
        "- set_fact: {k8s: {name: a, apply: true}}\n",
        "- template: {src: x}\n  vars:\n    k8s_exec: {pod: a}\n    tasks: [{k8s_exec: {pod: a}}]\n",
        "k8s_exec: {pod: a}\n",
        "- hosts: all\n  vars: {k8s_info: {kind: Pod}}\n  roles: [k8s_info]\n",
        "# - kubernetes.core.k8s_exec: {pod: a}\n",
        "just text\n",
        "",
        "---\n---\n",
    ],
)
def test_what_is_no_task_is_left(text):
    unchanged(text)


def test_line_breaks_of_windows_and_a_missing_last_one_are_kept():
    text = "- k8s:\r\n    apply: true\r\n    kind: Pod\r\n    name: a"
    assert migrated(text)[0] == "- podwright.core.resource_set:\r\n    wait: false\r\n    kind: Pod\r\n    name: a"
    assert migrated("- k8s:\n    kind: Pod\n    name: a\n    apply: true")[0] == "- podwright.core.resource_set:\n    wait: false\n    kind: Pod\n    name: a\n"


def test_anchors_are_changed_once_and_merged_options_are_known():
    rewritten(
        """\
        - k8s: &a {wait: true, kind: Pod, name: a, persist_config: true}
        - k8s: *a
        - k8s:
            <<: *a
            name: b
        - k8s_exec: &e
            pod: !vault |
              $ANSIBLE_VAULT;1.1;AES256
              00
        """,
        """\
        - podwright.core.resource_set: &a {wait: true, kind: Pod, name: a}
        - podwright.core.resource_set: *a
        - podwright.core.resource_set:
            <<: *a
            name: b
        - podwright.core.pod_exec: &e
            pod: !vault |
              $ANSIBLE_VAULT;1.1;AES256
              00
        """,
        "persist_config was removed",
    )


def test_options_are_added_once_to_a_mapping_that_several_tasks_share():
    rewritten(
        """\
        - k8s: &a
            definition: {kind: Pod}
        - k8s: *a
        """,
        """\
        - podwright.core.resource_set: &a
            wait: false
            definition: {kind: Pod}
        - podwright.core.resource_set: *a
        """,
    )


def test_options_that_are_merged_from_elsewhere_are_reported():
    rewritten(
        """\
        - hosts: all
          vars: {common: &c {apply: true, persist_config: true}}
          tasks:
            - k8s:
                <<: *c
                src: a
        """,
        """\
        - hosts: all
          vars: {common: &c {apply: true, persist_config: true}}
          tasks:
            - podwright.core.resource_set:
                wait: false
                <<: *c
                src: a
        """,
        "remove apply, which is merged",
        "remove persist_config, which is merged",
    )


def test_options_are_added_where_the_others_are():
    rewritten(
        """\
        - action: k8s
          args:
            src: a
        - k8s:
          args:
            # about it
            src: a
        - k8s: {
            src: a,
          }
        """,
        """\
        - action: podwright.core.resource_set
          args:
            wait: false
            src: a
        - podwright.core.resource_set:
          args:
            wait: false
            # about it
            src: a
        - podwright.core.resource_set: {
            wait: false, src: a,
          }
        """,
    )


def test_values_that_are_aliases_are_removed_and_moved():
    rewritten(
        """\
        - hosts: all
          vars: {labels: &labels {app: web}, quick: &quick false}
          tasks:
            - k8s_service:
                name: web
                selector: *labels
                ports: [*labels]  # all of them
                wait: true
            - k8s: {src: a, apply: *quick, wait: true}
        """,
        """\
        - hosts: all
          vars: {labels: &labels {app: web}, quick: &quick false}
          tasks:
            - podwright.core.resource_set:
                kind: Service
                definition:
                  spec:
                    selector: *labels
                    ports: [*labels]  # all of them
                name: web
                wait: true
            - podwright.core.resource_set: {src: a, wait: true}
        """,
    )


@pytest.mark.parametrize("indicator", ["|", ">-", "|-", "|+", ">2", "|2+ # text"])
def test_texts_in_several_lines_end_before_the_next_option(indicator):
    value = f"{indicator}\n            two\n            lines\n\n"
    options = f"        src: a\n        validate:\n          version: {value}        namespace: x\n        wait: true\n"
    assert migrated(f"- block:\n    - k8s:\n{options}")[0] == (
        "- block:\n    - podwright.core.resource_set:\n        src: a\n\n        namespace: x\n        wait: true\n"
    )
    options = f"        name: a\n        selector:\n          note: {value}        namespace: x\n        wait: true\n"
    before = read_yaml(f"- k8s_service:\n{options}")[0]["k8s_service"]
    after = read_yaml(migrated(f"- k8s_service:\n{options}")[0])[0]["podwright.core.resource_set"]
    assert after == {"kind": "Service", "definition": {"spec": {"selector": before["selector"]}}, "name": "a", "namespace": "x", "wait": True}


def test_empty_lines_behind_what_is_removed_do_not_join_the_text_before():
    rewritten("- k8s:\n    wait: true\n    src: |+\n      a\n    apply: true\n\n", "- podwright.core.resource_set:\n    wait: true\n    src: |+\n      a\n")


@pytest.mark.parametrize(
    "text",
    [
        "- k8s: {src: a, wait: true, apply: &yes true}\n- debug: {verbosity: *yes}\n",
        "- k8s: &o {src: a}\n- debug: *o\n",
        "- k8s_info: &o\n    kind: Pod\n- debug:\n    <<: *o\n    name: b\n",
        "- debug: &o {src: a}\n- k8s: *o\n",
        "- &k8s k8s: {src: a, wait: true}\n",
        '- "k8\\x73": {src: a, wait: true}\n',
        "- k8s:\n    ? apply\n    : true\n    ? src\n    : a\n    ? wait\n    : true\n",
        "- debug: {msg: &c kubectl}\n- debug:\n  connection: *c\n",
    ],
)
def test_what_cannot_be_rewritten_alone_is_left_and_the_rest_is_rewritten(text):
    rest = "- k8s_exec: {pod: a}\n"
    result, reports = migrated(rest + text + rest)
    assert result == (rest + text + rest).replace("k8s_exec", "podwright.core.pod_exec")
    assert len(reports) == 1 and "is left as it is, since" in reports[0]


def test_comments_in_braces_stay():
    rewritten(
        """\
        - k8s: {src: a, # apply, it
                apply: true, wait: true}
        - k8s: {
            force: false,  # never
            # where from
            src: a,  # last,
            apply: true}
        """,
        """\
        - podwright.core.resource_set: {src: a, # apply, it
                wait: true}
        - podwright.core.resource_set: {
              # never
            # where from
            wait: false, src: a,  # last,
            }
        """,
    )


def test_results_of_secrets_have_digests():
    before = "- k8s: {kind: Secret, name: a, wait: true}\n  register: secret\n"
    rewritten(before, before.replace("k8s", "podwright.core.resource_set"), "read the values with podwright.core.pod_info")


def test_templates_of_helm_are_left():
    unchanged("kind: ConfigMap\ndata:\n  a: {{ .Values.a }}\n  {{ .Values.b }}: c\n")


def test_a_file_is_replaced_as_a_whole_and_keeps_its_mode_and_links(tmp_path, monkeypatch):
    book, link = tmp_path / "a.yml", tmp_path / "b.yml"
    book.write_text("- kubernetes.core.k8s_exec: {pod: a}\n")
    book.chmod(0o640)
    link.symlink_to("a.yml")

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(migrate.os, "replace", fail)
        migrate.migrate(str(link), write=True)
    assert book.read_text() == "- kubernetes.core.k8s_exec: {pod: a}\n" and len(list(tmp_path.iterdir())) == 2
    assert migrate.migrate(str(link), write=True)
    assert book.read_text() == "- podwright.core.pod_exec: {pod: a}\n" and link.is_symlink() and book.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("text", ["- &a\n  hosts: x\n  tasks: [*a]\n", "- hosts: x\n  vars: &v {a: *v}\n", "- " + "[" * 2000 + "]" * 2000 + "\n"])
def test_files_that_cannot_be_read_or_written_do_not_keep_others_from_being_rewritten(tmp_path, monkeypatch, capsys, text):
    (tmp_path / "a.yml").write_text(text)
    (tmp_path / "b.yml").write_text("- kubernetes.core.k8s_exec: {pod: b}\n")
    (tmp_path / "c.yml").write_text("- kubernetes.core.k8s_exec: {pod: c}\n")
    write = migrate.write_whole

    def fail(path, text):
        if path.endswith("b.yml"):
            raise PermissionError(13, "Permission denied")
        write(path, text)

    monkeypatch.setattr(migrate, "write_whole", fail)
    assert migrate.main(["--write", str(tmp_path)]) == 1
    output = capsys.readouterr()
    assert (tmp_path / "c.yml").read_text() == "- podwright.core.pod_exec: {pod: c}\n" and output.out.endswith("\n1 file rewritten\n")
    assert "a.yml: not rewritten: it is nested too deeply, or an alias" in output.err and "b.yml: not rewritten: Permission denied" in output.err


def test_directories_that_cannot_be_listed_are_reported(tmp_path, monkeypatch, capsys):
    def fail(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(migrate.os, "scandir", fail)
    assert migrate.main([str(tmp_path)]) == 1
    assert f"{tmp_path}: not rewritten: " in capsys.readouterr().err


OPTIONS = {"apply": ["true", "no"], "force": ["false"], "persist_config": ["yes"], "validate": ["{strict: true}"], "wait": ["true"], "state": ["present"]}
ENTRY = st.sampled_from([(name, value) for name, values in OPTIONS.items() for value in values])


@given(st.lists(ENTRY, unique_by=lambda entry: entry[0]), st.booleans(), st.booleans(), st.integers(0, 6))
@settings(max_examples=150, deadline=None)
def test_any_order_of_options_leaves_the_others_as_they_were(entries, is_flow, has_comments, position):
    entries.insert(min(position, len(entries)), ("kind", "Namespace"))
    entries.append(("name", '"{{ name }}"'))
    if is_flow:
        text = "- k8s: {" + ", ".join(f"{name}: {value}" for name, value in entries) + "}\n"
    else:
        comment = "  # about it" if has_comments else ""
        text = "- k8s:\n" + "".join(f"    {name}: {value}{comment}\n" for name, value in entries)
    ((module, options),) = read_yaml(migrated(text)[0])[0].items()
    expected = {name: read_yaml(value) for name, value in entries if name in ("kind", "name", "wait", "state")}
    assert (module, options) == ("podwright.core.resource_set", {"wait": False} | expected)


def test_the_command_writes_only_if_asked_and_says_what_is_left(tmp_path):
    (tmp_path / "roles").mkdir()
    book, bad = tmp_path / "roles/a.yml", tmp_path / "roles/bad.yaml"
    book.write_text("- kubernetes.core.k8s_exec: {pod: a}\n- kubernetes.core.k8s_drain: {name: n}\n")
    bad.write_text("a: ]\n")

    def run(*arguments):
        return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False, cwd=tmp_path)

    shown = run("roles")
    assert shown.returncode == 0 and "+- podwright.core.pod_exec: {pod: a}" in shown.stdout and "k8s_exec" in book.read_text()
    assert "roles/a.yml:2: kubernetes.core.k8s_drain: use kubectl drain" in shown.stdout and "roles/bad.yaml: not rewritten" in shown.stdout
    written = run("--write", "roles/a.yml")
    assert written.stdout.endswith("1 file rewritten\n") and book.read_text() == "- podwright.core.pod_exec: {pod: a}\n- kubernetes.core.k8s_drain: {name: n}\n"
    assert run("--write", "roles").stdout.endswith("0 files rewritten\n")
    assert run("missing.yml").returncode == 2


def test_tasks_that_would_remove_what_others_set_are_listed(tmp_path, capsys):
    (tmp_path / "a.yml").write_text(
        "- kubernetes.core.k8s:\n"
        "    definition: {apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: n}, data: {a: '1'}}\n"
        "- kubernetes.core.k8s: {kind: ConfigMap, name: c, state: present}\n"
        "- kubernetes.core.k8s: {kind: ConfigMap, name: c, state: absent, definition: {data: {}}}\n"
        "- kubernetes.core.k8s: {kind: ConfigMap, name: c, state: patched, definition: {data: {a: '2'}}}\n"
        "- kubernetes.core.k8s: {kind: ConfigMap, name: c, namespace: other, definition: {data: {a: '2'}}}\n"
    )
    (tmp_path / "b.yml").write_text(
        "- redhat.openshift.k8s: {kind: configmap, name: c, namespace: n, definition: {data: {b: '2'}}}\n"
        "- kubernetes.core.k8s: {kind: ConfigMap, name: c, namespace: '{{ n }}', apply: true, src: c.yml}\n"
        "- kubernetes.core.k8s: {kind: ConfigMap, name: c, definition: {data: {}}, server_side_apply: {field_manager: x}}\n"
    )
    assert migrate.main(["--write", str(tmp_path)]) == 0
    shown = [line for line in capsys.readouterr().out.splitlines() if "that other tasks set" in line]
    assert [line.partition(": podwright")[0].rpartition("/")[2] for line in shown] == ["a.yml:1", "a.yml:7", "b.yml:1"]
    assert f"fields of ConfigMap c that other tasks set ({tmp_path}/b.yml:1, {tmp_path}/b.yml:2) are removed if this manifest lacks them" in shown[0]
    assert shown[0].endswith(": set a field_manager of its own, or state: patched")


def test_relative_paths_are_those_of_the_directory_of_ansible_playbook(tmp_path, monkeypatch):
    """A program may start it in another directory, and leave PWD as it was."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", str(ROOT))
    (play,) = read_yaml((ROOT / "playbooks/migrate.yml").read_text())
    (command,) = [task["ansible.builtin.command"] for task in play["tasks"] if "ansible.builtin.command" in task]
    assert Templar(DataLoader(), variables={}).template(trust_as_template(command["chdir"])) == str(tmp_path.resolve())


@pytest.mark.parametrize(
    ("name", "text", "is_rewritten"),
    [
        ("a.yml", "- name: prod\n  k8s: {version: '1.29', name: prod, kind: eks}\n", False),
        ("tasks/a.yml", "- name: prod\n  k8s: {version: '1.29', name: prod, kind: eks}\n", True),
        ("a.yml", "- k8s_exec: {pod: a}\n- ansible.builtin.debug:\n", True),
        ("a.yml", "- k8s_exec: {pod: a}\n  when: b\n", True),
    ],
)
def test_short_names_are_rewritten_in_lists_of_tasks_only(tmp_path, capsys, name, text, is_rewritten):
    (tmp_path / "tasks").mkdir()
    (tmp_path / name).write_text(text)
    assert migrate.migrate(str(tmp_path / name), write=True) is is_rewritten
    assert ("a.yml:2: k8s is left as it is, since the list may be no list of tasks" in capsys.readouterr().out) is not is_rewritten


def test_what_is_not_searched_is_listed(tmp_path, capsys):
    task = "- kubernetes.core.k8s_exec: {pod: a}\n"
    for name in ("collections/ansible_collections/acme/app/roles/a/tasks", "linked"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "main.yml").write_text(task)
    (tmp_path / "roles").symlink_to("linked")
    (tmp_path / "vault.yml").write_text("$ANSIBLE_VAULT;1.1;AES256\n3336\n")
    assert migrate.main(["--write", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert f"{tmp_path}/collections: skipped: collections are usually installed" in shown and f"{tmp_path}/roles: skipped: it is a link" in shown
    assert f"{tmp_path}/vault.yml: not rewritten: it is encrypted by Ansible Vault" in shown and shown.endswith("\n1 file rewritten\n")
    assert migrate.main(["--write", str(tmp_path / "collections/ansible_collections")]) == 0
    assert capsys.readouterr().out.endswith("\n1 file rewritten\n")
