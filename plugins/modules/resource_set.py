#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: resource_set
short_description: Make a set of Kubernetes objects as its manifests say
version_added: 0.1.0
author: Podwright contributors (@podwright)
description:
  - Compares manifests with the live objects and changes what differs, by server-side apply, in the order that the kinds need.
  - Nothing is written for objects that are as they should be, and nothing is reported as changed that did not change.
  - Fields that the manifests do not name are left to whoever set them; the replicas of a workload under a
    HorizontalPodAutoscaler are left to the autoscaler.
  - Exactly the fields that a manifest names are taken over from C(kubectl apply), a client library or any other tool that wrote
    the object before, so that a field that leaves the manifest later is removed. A value that another tool applies by
    server-side apply, too, is shared with it until both drop it.
  - A named set knows its members (they are marked as the ApplySet specification KEP-3659 says), so that those that left it can be pruned.
extends_documentation_fragment:
  - podwright.core.connection
  - podwright.core.attributes
options:
  name:
    description: Name of the set. Without it, the objects are applied one by one and the set is not remembered.
    type: str
  state:
    description: Whether the objects should be there. With V(absent) and a O(name), every member of the set is deleted.
    type: str
    choices: [present, absent]
    default: present
  definition:
    description: One manifest, a list of them, or YAML text with one or many documents.
    type: raw
    aliases: [resource_definition, inline]
  src:
    description: A file with manifests on the controller, looked for in C(files) of the role and beside the play.
    type: path
  template:
    description: A Jinja2 template of manifests on the controller, looked for in C(templates) of the role and beside the play.
    type: path
  prune:
    description: Whether to delete members that are no longer among the manifests. Needs O(name).
    type: bool
    default: false
  conflicts:
    description:
      - What to do about fields that another field manager set to another value, V(take) them or V(fail).
      - With V(fail), fields are shared with whoever set them to the same value before, and stay when they leave the manifest.
    type: str
    choices: [take, fail]
    default: take
  field_manager:
    description: The field manager to apply as.
    type: str
    default: podwright
  on_immutable:
    description: What to do where a field cannot be changed in place, to V(fail) and name it, or to V(replace) the object (delete and create).
    type: str
    choices: [fail, replace]
    default: fail
  delete_options:
    description: How to delete.
    type: dict
    suboptions:
      propagation_policy:
        description: What happens to the objects that a deleted one owns.
        type: str
        choices: [Background, Foreground, Orphan]
        default: Background
      grace_period:
        description: Seconds that a deleted object has for its end; each kind's own where not given.
        type: int
  concurrency:
    description: How many requests run at the same time.
    type: int
    default: 10
  wait:
    description: Whether to wait until the objects are ready (a Deployment rolled out, a Job complete, a claim bound), or gone.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait for all objects together.
    type: int
    default: 120
  wait_sleep:
    description: Seconds between two looks where the cluster allows no watch.
    type: int
    default: 5
"""

EXAMPLES = r"""
- name: A configuration and the Deployment that reads it, as one set
  podwright.core.resource_set:
    name: web
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

- name: The set is gone, with everything that belonged to it
  podwright.core.resource_set:
    name: web
    namespace: default
    state: absent
"""

RETURN = r"""
plan:
  description: What was done, or in check mode would be, object by object.
  returned: always
  type: list
  elements: dict
  contains:
    action:
      description: One of V(create), V(patch), V(replace), V(resize), V(delete) and V(none).
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
      description: Namespace of the object, empty where it has none.
      type: str
      returned: always
    name:
      description: Name of the object.
      type: str
      returned: always
    patch:
      description: The change as an RFC 6902 patch; a digest stands for each secret value.
      type: list
      elements: dict
      returned: always
    note:
      description: What else there is to know, for instance that a prediction was made locally, and why.
      type: str
      returned: where there is something
resources:
  description: The objects as they are afterwards, or in check mode would be.
  returned: always
  type: list
  elements: dict
summary:
  description: How many objects each action was taken on.
  returned: always
  type: dict
  sample: {create: 2, none: 198}
duration:
  description: Seconds it took.
  returned: always
  type: float
reason:
  description: The reason of a failure in one word.
  returned: on failure
  type: str
hint:
  description: What to do about a failure.
  returned: on failure
  type: str
"""

from ansible_collections.podwright.core.plugins.module_utils.module_edge import run_module
from ansible_collections.podwright.core.plugins.module_utils.operations.resource_set import OPERATION


def main():
    """Run the operation as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
