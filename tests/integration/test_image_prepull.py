# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role image_prepull: nodes have images that they lacked, those that cannot pull one are named, and new nodes are covered."""

from __future__ import annotations

import uuid

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import MERGE_PATCH
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, POD

from ..support.playbooks import MODES
from ..support.registry_images import push_new_image
from ..support.waiting import wait_for

pytestmark = pytest.mark.long
NODE, DAEMON_SET = BUILT_IN["v1", "Node"], BUILT_IN["apps/v1", "DaemonSet"]
CHECK = "podwright.core.image_prepull : Check that the nodes have the images"


@pytest.fixture
def pool(client):
    """A label that no node has, and a function that adds it to the node."""
    name = f"podwright.io/{uuid.uuid4().hex[:8]}"

    def join(value="yes"):
        client.patch(NODE, None, "node-1", {"metadata": {"labels": {name: value}}}, "test", MERGE_PATCH)

    yield name, join
    join(None)


def prepull(namespace, selector, pulled, **variables):
    """A task that includes the role."""
    variables |= {"image_prepull_namespace": namespace, "image_prepull_images": pulled, "image_prepull_node_selector": selector}
    return [{"ansible.builtin.include_role": {"name": "podwright.core.image_prepull"}, "vars": variables}]


def has_image(play, namespace, image):
    """Whether the node runs the image without pulling it."""
    options = {"name": f"user-{uuid.uuid4().hex[:8]}", "image": image, "image_pull_policy": "Never", "command": ["/bin/sleep", "0"]}
    options |= {"state": "completed", "cleanup": "always", "failure_grace": 5}
    played = play([{"podwright.core.task_pod": options, "name": "run"}], namespace=namespace, expect=None)
    assert played.rc == 0 or "ErrImageNeverPull" in played.of("run")["msg"]
    return played.rc == 0


@pytest.mark.parametrize("mode", MODES)
def test_new_nodes_pull_the_images(client, play, namespace, pool, mode):
    label, join = pool
    image = push_new_image()
    tasks = prepull(namespace, {label: "yes"}, ["busybox", image])
    assert play(tasks, namespace=namespace, mode=mode).is_changed
    assert not has_image(play, namespace, image)
    join()
    assert not play(tasks, namespace=namespace, mode=mode).is_changed  # it waits for the node
    assert has_image(play, namespace, image)
    assert play(prepull(namespace, {label: "yes"}, ["busybox"], image_prepull_state="absent"), namespace=namespace, mode=mode).is_changed
    assert not client.list(POD, namespace, label_selector="podwright.io/image-prepull")[0] and not client.list(DAEMON_SET, namespace)[0]
    assert not play(prepull(namespace, {}, ["busybox"], image_prepull_state="absent"), namespace=namespace, mode=mode).is_changed


@pytest.mark.parametrize("mode", MODES)
def test_nothing_keeps_running_if_the_daemon_set_is_not_kept(client, play, namespace, mode):
    image = push_new_image()
    tasks = prepull(namespace, {"kubernetes.io/hostname": "node-1"}, [image, image], image_prepull_keep=False)
    assert play(tasks, "--check", namespace=namespace, mode=mode).is_changed and not has_image(play, namespace, image)
    assert play(tasks, namespace=namespace, mode=mode).is_changed
    wait_for(lambda: has_image(play, namespace, image))
    assert not client.list(POD, namespace, label_selector="podwright.io/image-prepull")[0] and not client.list(DAEMON_SET, namespace)[0]
    assert not play(tasks, namespace=namespace, mode=mode).is_changed
    wait_for(lambda: not play(tasks, "--check", namespace=namespace, mode=mode).is_changed)  # the kubelet reports its images from time to time
    play(prepull(namespace, {"kubernetes.io/hostname": "node-1"}, [image]), namespace=namespace, mode=mode)
    assert play(tasks, "--check", namespace=namespace, mode=mode).is_changed
    assert play(tasks, namespace=namespace, mode=mode).is_changed  # the DaemonSet that was kept is deleted
    assert not client.list(DAEMON_SET, namespace)[0]


@pytest.mark.parametrize("check", [[], ["--check"]], ids=["run", "check"])
def test_a_selector_of_no_node_is_an_error_if_the_daemon_set_is_not_kept(client, play, namespace, check):
    tasks = prepull(namespace, {"podwright.io/no-such": "yes"}, ["busybox"], image_prepull_keep=False)
    played = play(tasks, *check, namespace=namespace, expect=2)
    assert "image_prepull_node_selector: selects no node" in played.stdout and not client.list(DAEMON_SET, namespace)[0]


@pytest.mark.parametrize("keep", [True, False])
def test_nodes_that_lack_an_image_are_named_with_the_reason(client, play, namespace, keep):
    missing = "podwright/prepull-missing:1"
    tasks = prepull(namespace, {"kubernetes.io/hostname": "node-1"}, ["busybox", missing], image_prepull_keep=keep, image_prepull_failure_grace=3)
    failed = play(tasks, namespace=namespace, expect=2)
    message = failed.of(CHECK)["msg"]
    assert message.startswith(f"1 of 1 nodes lack images.\nnode-1: {missing}: ") and "not found" in message and "busybox" not in message
    assert ("ImagePullBackOff" in message) or ("ErrImagePull" in message)
    assert bool(client.list(DAEMON_SET, namespace)[0]) == keep


def test_nodes_that_are_not_ready_are_named(client, play, namespace, idle):
    selector = {"type": idle, "kubernetes.io/os": "linux"}
    client.patch(NODE, None, idle, {"metadata": {"labels": {"kubernetes.io/os": "linux"}}}, "test", MERGE_PATCH)
    tasks = prepull(namespace, selector, ["busybox"], image_prepull_failure_grace=2, image_prepull_timeout=4)
    failed = play(tasks, namespace=namespace, expect=2)
    assert f"1 of 1 nodes lack images.\n{idle}: busybox: Starting: " in failed.of(CHECK)["msg"]
    # A registry can write anything into the message.
    hostile = "{{ lookup('pipe', 'id') }} denied"
    state = {"waiting": {"reason": "ImagePullBackOff", "message": hostile}}
    status = {"name": "image-0", "image": "busybox", "imageID": "", "ready": False, "restartCount": 0, "state": state}
    (pod,) = client.list(POD, namespace)[0]
    client.patch(POD, namespace, pod["metadata"]["name"], {"status": {"containerStatuses": [status]}}, "test", MERGE_PATCH, "status")
    failed = play(tasks, namespace=namespace, expect=2)
    assert failed.of(CHECK)["msg"].splitlines()[1] == f"{idle}: busybox: ImagePullBackOff: {hostile}"


def test_a_refused_pod_is_explained(client, play, namespace):
    client.patch(
        BUILT_IN["v1", "Namespace"], None, namespace, {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}, "test", MERGE_PATCH
    )
    tasks = prepull(namespace, {"kubernetes.io/hostname": "node-1"}, ["busybox"])
    assert play(tasks, namespace=namespace).is_changed  # its pods are as strict as the strictest level
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    client.create(BUILT_IN["v1", "ResourceQuota"], namespace, quota, "test")
    tasks = prepull(namespace, {"kubernetes.io/hostname": "node-1"}, ["busybox"], image_prepull_name="second", image_prepull_failure_grace=2)
    failed = play(tasks, namespace=namespace, expect=2)
    assert "exceeded quota" in failed.of("podwright.core.image_prepull : Check that the DaemonSet is ready")["msg"]


def test_options_are_refused_before_anything_is_written(client, play, namespace):
    for wrong, problem in (
        ({"image_prepull_images": []}, "image_prepull_images: must name at least one image"),
        ({"image_prepull_images": ["busybox", ""]}, "image_prepull_images: must name at least one image, and no name may be empty."),
        ({"image_prepull_timeout": -1}, "image_prepull_timeout: must be 0 or greater, got -1."),
    ):
        refused = play(prepull(namespace, {}, wrong.pop("image_prepull_images", ["busybox"]), **wrong), namespace=namespace, expect=2)
        assert problem in refused.output
    assert not client.list(DAEMON_SET, namespace)[0]


def test_a_daemon_set_of_others_is_neither_changed_nor_deleted(client, play, namespace):
    template = {"metadata": {"labels": {"app": "agent"}}, "spec": {"containers": [{"name": "agent", "image": "busybox"}], "nodeSelector": {"no": "node"}}}
    theirs = {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent"}, "spec": {"selector": {"matchLabels": {"app": "agent"}}}}
    theirs["spec"]["template"] = template
    created = client.create(DAEMON_SET, namespace, theirs, "test")
    failed = play(prepull(namespace, {}, ["busybox"], image_prepull_name="agent", image_prepull_keep=False), namespace=namespace, expect=2)
    message = failed.of("podwright.core.image_prepull : Apply the DaemonSet")["msg"]
    assert "DaemonSet 'agent'" in message and "must not be taken over" in message
    assert not play(prepull(namespace, {}, [], image_prepull_name="agent", image_prepull_state="absent"), namespace=namespace).is_changed
    (left,) = client.list(DAEMON_SET, namespace)[0]
    assert left["metadata"]["uid"] == created["metadata"]["uid"] and left["spec"]["template"]["spec"]["containers"][0]["name"] == "agent"
