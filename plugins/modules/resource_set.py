#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: resource_set
short_description: Apply a set of Kubernetes objects
version_added: 1.0.0
author: Podwright contributors (@podwright)
description:
  - Compares manifests with the live objects and applies the differences by server-side apply, in the order that the kinds require.
  - Objects without differences are not written, and an object is reported as changed only if it changed.
  - Fields that the manifests do not contain are left to their field managers. The replicas of a workload with a HorizontalPodAutoscaler are left to the
    autoscaler.
  - Takes over ownership of exactly the fields that a manifest contains from C(kubectl apply), client libraries and other tools, so a field that is
    removed from the manifest later is removed from the object. A value that another tool sets by server-side apply after that is owned by both until
    both drop it.
  - Fields that exclude one of a manifest are removed, such as the default C(rollingUpdate) beside the strategy C(Recreate).
  - A named set records its members (by the ApplySet specification, KEP-3659), so members that are no longer in the manifests can be pruned.
extends_documentation_fragment:
  - podwright.core.connection
  - podwright.core.review
  - podwright.core.attributes
options:
  set:
    description:
      - Name of the set. Without one the members are not recorded, and an object that is a member of a set stays in it.
      - An object is a member of one set. A manifest that names a member of another set, or a set of another tool, is refused before anything is written.
      - A manifest of the record of a set, C(podwright-set-NAME), is refused with and without this option.
    type: str
  name:
    description:
      - With O(kind), the name of the object, for manifests that lack one.
      - Without O(kind), the same as O(set).
    type: str
  kind:
    description:
      - Kind of the object, or its plural or short name, for manifests that lack one.
      - With O(name) and without a manifest and O(set), V(present) creates an object without other fields, and an object that exists stays as it is.
    type: str
  api_version:
    description: API version of O(kind). Optional unless several API groups have a kind of that name.
    type: str
    aliases: [api, version]
  generate_name:
    description:
      - Beginning of a generated name, for manifests that lack a name. Each run creates another object.
      - A manifest can contain C(metadata.generateName) instead.
    type: str
  state:
    description:
      - V(present) applies the manifests. V(absent) deletes their objects, or with O(set) every member of the set.
      - An object of a kind that the server does not serve is absent, unless another API group has a kind of that name, which fails.
      - V(patched) merges the manifests or O(patch) into existing objects. Fields that these do not contain are kept, whoever set them, and
        an object that does not exist is not created.
      - Several manifests of one object are merged in their order. With another state, equal ones are one, and different ones are refused.
      - C(status) is a field like any other, unless the kind has the subresource status, outside of which the API server ignores it. V(present) then leaves
        it out, as exported manifests have it, and V(patched) refuses it.
      - The record of the set is deleted last, so a run that failed or was interrupted can be repeated. Without it, as after the deletion of the
        namespace of the set, V(absent) finds no members, and those in other namespaces or in none are kept.
    type: str
    choices: [present, absent, patched]
    default: present
  definition:
    description: A manifest, a list of manifests, or YAML text with one or more documents.
    type: raw
    aliases: [resource_definition, inline]
  src:
    description:
      - File with manifests on the controller, a directory of such files, or an HTTP(S) URL that the controller reads.
      - Of a directory and those below it, the files C(*.yml), C(*.yaml) and C(*.json) are read in the order of their paths, except hidden ones.
        A symbolic link to a directory below it is refused, unless it is hidden.
      - Relative paths are resolved in C(files) of the role and beside the playbook.
    type: path
  template:
    description:
      - Jinja2 template of manifests on the controller, or a list of templates. Relative paths are resolved in C(templates) of the role and beside
        the playbook.
      - A template can be a mapping of V(path) and of the syntax options of M(ansible.builtin.template), such as V(variable_start_string).
    type: raw
  patch:
    description: RFC 6902 patch of the object with O(kind) and O(name) or of the objects with O(kind) and O(label_selectors), with O(state=patched).
    type: list
    elements: dict
  merge_type:
    description:
      - Types of merge patch to try in this order, with O(state=patched). V(strategic-merge) merges the items of lists such as containers by name,
        V(merge) replaces lists as a whole.
      - Defaults to V(strategic-merge) for kinds that are built into Kubernetes, and to V(merge) for custom resources, which support no other.
    type: list
    elements: str
    choices: [merge, strategic-merge]
  label_selectors:
    description:
      - Apply, patch or delete only manifests whose labels match.
      - With O(state=patched) and O(kind), patches all objects of the namespace that match by O(patch) or by a manifest without a name.
      - With O(state=absent) and O(kind), without manifests and O(name), deletes all objects of the namespace that match.
    type: list
    elements: str
  delete_all:
    description:
      - With O(state=absent) and O(kind), without manifests and O(name), delete all objects of the kind in the namespace, but for those that Kubernetes
        itself keeps there, such as the ServiceAccount C(default), the ConfigMap C(kube-root-ca.crt) and the Service C(kubernetes), and for the
        records of sets.
    type: bool
    default: false
    aliases: [all]
  append_hash:
    description:
      - Append a hash of the content to the names of ConfigMaps and Secrets, as C(kubectl) does. References in other manifests are not changed.
    type: bool
    default: false
  continue_on_error:
    description:
      - Continue with the other objects after a failure, also if the user is not allowed to read some, or their kind is not served. RV(plan) contains the errors
        as notes, and the task fails in the end.
      - If an object could not be applied, nothing is pruned.
    type: bool
    default: false
  hidden_fields:
    description:
      - Paths of fields to remove from RV(resources), the diff and the patches in RV(plan), such as V(status) or V(metadata.annotations[example.com/owner]).
      - O(plan_file) has numbers in place of their values, which show only whether a value changes.
    type: list
    elements: str
    default: []
  ignored_fields:
    description:
      - Paths of fields of the manifests that are not applied, as in O(hidden_fields), such as V(spec.replicas) or V(webhooks[*].clientConfig.caBundle).
      - A value of a Secret can be given in C(data) or C(stringData), whichever of them the manifest uses.
      - The fields are left to others, as if the manifests did not contain them. One that Podwright applied before is removed unless others set it.
    type: list
    elements: str
    default: []
  prune:
    description:
      - Delete members that are no longer in the manifests. Requires O(set), and with O(state=present) one of O(definition), O(src) and O(template).
      - An empty list, V([]), deletes all members, also as a document of a text or template. A text without documents, or
        with nothing but lists of kind C(List) without items, is refused.
      - Objects that a controller created for a member, and namespaces that other members are in, are not deleted. A kind that cannot
        be listed is reported as a warning and stays recorded.
      - A definition (CustomResourceDefinition) of which there are objects that are not members, and a namespace that contains the record or members of
        another set, are not deleted, unless a manifest names them with O(state=absent). Everything else in a namespace is deleted with it.
      - An object that has the label of the set but was not applied with the set is not deleted, such as a copy of a member under another name or the
        Endpoints that Kubernetes creates for a Service. RV(plan) names those that were copied with C(kubectl).
      - A member with the annotation C(podwright.io/prune=disabled) is deleted neither by this option nor with its set, only by
        O(state=absent) with a manifest that names it. The namespace and the definition that it needs stay, too.
    type: bool
    default: false
  adopt:
    description:
      - Whether objects of others are taken over. V(false) refuses them before anything is written, and with O(state=absent) leaves them alone.
      - An object is of others if it is not a member of O(set); without a set, if O(field_manager) has not applied it or it is a member of a set.
    type: bool
    default: true
  conflicts:
    description:
      - V(take) takes over fields that another field manager set to a different value, V(fail) fails.
      - With V(fail), fields that another field manager set to the same value are shared with it, and are kept when they are removed from the manifest.
    type: str
    choices: [take, fail]
    default: take
  field_manager:
    description: Name of the field manager.
    type: str
    default: podwright
  on_immutable:
    description:
      - V(fail) fails with the names of changed immutable fields, V(replace) deletes and creates the object.
      - An object is replaced only if the API server rejects nothing but immutable fields and accepts the new object in a dry run. Otherwise nothing is
        deleted.
    type: str
    choices: [fail, replace]
    default: fail
  delete_options:
    description: Options of deletions, also of those with O(on_immutable=replace).
    type: dict
    suboptions:
      propagation_policy:
        description:
          - Propagation policy. Defaults to V(Background), and to V(Foreground) if an object is replaced.
          - V(Orphan) with O(on_immutable=replace) keeps the pods of a StatefulSet or Deployment, which the new object adopts if its selector matches them.
        type: str
        choices: [Background, Foreground, Orphan]
        aliases: [propagationPolicy]
      grace_period:
        description: Deletion grace period in seconds. Defaults to that of the kind.
        type: int
        aliases: [gracePeriodSeconds]
      preconditions:
        description: Delete the object only if it is this one. Fails otherwise.
        type: dict
        suboptions:
          uid:
            description: UID of the object.
            type: str
          resource_version:
            description: Resource version of the object.
            type: str
            aliases: [resourceVersion]
  concurrency:
    description: Maximum number of requests at the same time.
    type: int
    default: 10
  wait:
    description:
      - Wait until the objects are ready (a Deployment rolled out, a Job complete, a claim bound) or deleted.
      - The ready pods of workloads are counted, since a status counts deleted pods for a moment. Without permission to list pods it warns.
      - The pods of a paused Deployment are waited for whatever their template; it warns if they keep an earlier one and the manifest does not set C(paused).
      - With O(state=patched), objects that are being deleted are not waited for.
    type: bool
    default: true
  wait_timeout:
    description: Timeout of the wait for all objects together, in seconds.
    type: int
    default: 120
  wait_condition:
    description:
      - Condition that every object must have, to wait for instead of readiness. Has no effect with O(state=absent), which warns of it.
    type: dict
    suboptions:
      type:
        description: Type of the condition.
        type: str
        required: true
      status:
        description: Status of the condition.
        type: str
        choices: ["True", "False", "Unknown"]
        default: "True"
      reason:
        description: Reason of the condition. Defaults to any reason.
        type: str
  wait_sleep:
    description: Polling interval in seconds if watching is forbidden.
    type: int
    default: 5
"""

EXAMPLES = r"""
- name: Apply a ConfigMap and the Deployment that reads it as one set
  podwright.core.resource_set:
    set: web
    namespace: default
    prune: true
    definition:
      - apiVersion: v1
        kind: ConfigMap
        metadata:
          name: web
        data:
          greeting: hello
      - apiVersion: apps/v1
        kind: Deployment
        metadata:
          name: web
        spec:
          replicas: 1
          selector:
            matchLabels:
              app: web
          template:
            metadata:
              labels:
                app: web
            spec:
              containers:
                - name: web
                  image: busybox
                  imagePullPolicy: IfNotPresent
                  command: [httpd, -f, -p, "8080"]
                  envFrom:
                    - configMapRef:
                        name: web

- name: Change one field
  podwright.core.resource_set:
    kind: Deployment
    name: web
    namespace: default
    state: patched
    definition:
      spec:
        template:
          spec:
            terminationGracePeriodSeconds: 0

- name: Delete all members of the set
  podwright.core.resource_set:
    set: web
    namespace: default
    state: absent
"""

RETURN = r"""
plan:
  description: Changes that were made, or would be made in check mode, one entry for each object.
  returned: always
  type: list
  elements: dict
  contains:
    action:
      description: Action, one of V(create), V(patch), V(replace), V(resize), V(delete) and V(none).
      type: str
      returned: always
    api_version:
      description: API version of the object.
      type: str
      returned: always
    kind:
      description: Kind of the object.
      type: str
      returned: always
    namespace:
      description: Namespace of the object, empty for a cluster-scoped object.
      type: str
      returned: always
    name:
      description: Name of the object.
      type: str
      returned: always
    patch:
      description: Change as an RFC 6902 patch. Digests replace the values of Secrets.
      type: list
      elements: dict
      returned: always
    note:
      description: Additional information, for instance that a change was predicted locally, and why.
      type: str
      returned: if there is any
    failed:
      description:
        - Whether the action failed, with the error as note.
        - In check mode with O(continue_on_error), the action is what would be necessary.
      type: bool
      returned: if it failed
resources:
  description: Objects after the task, or in check mode as the API server predicts them, with its defaults. Includes the answers of access reviews.
  returned: always
  type: list
  elements: dict
result:
  description: The object, empty if it was deleted or does not exist.
  returned: for exactly one object
  type: dict
summary:
  description: Number of objects for each action.
  returned: always
  type: dict
  sample: {create: 2, none: 198}
plan_digest:
  description: Digest of the plan for its review, see O(expect).
  returned: in check mode, or if O(expect) or O(plan_file) is set
  type: str
duration:
  description: Duration of the invocation in seconds.
  returned: always
  type: float
reason:
  description: Reason of a failure, as in the Kubernetes API.
  returned: on failure, if there is one
  type: str
hint:
  description: How to fix a failure.
  returned: on failure, if there is one
  type: str
"""

from ansible_collections.podwright.core.plugins.module_utils import _bytecode  # pylint: disable=unused-import
from ansible_collections.podwright.core.plugins.module_utils._engine.module_edge import run_module
from ansible_collections.podwright.core.plugins.module_utils._engine.operations.resource_set import OPERATION


def main():
    """Run the operation as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
