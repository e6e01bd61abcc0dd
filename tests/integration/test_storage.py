# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role storage beside objects that it did not create. What it creates is used by a task in molecule's scenario."""

from __future__ import annotations

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN

STORAGE_CLASS = BUILT_IN["storage.k8s.io/v1", "StorageClass"]


def test_a_storage_class_of_others_is_neither_changed_nor_deleted(client, play, namespace):
    theirs = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": namespace}, "provisioner": "example.com/theirs"}
    created = client.create(STORAGE_CLASS, None, theirs, "test")
    variables = {"storage_namespace": namespace, "storage_classes": [{"name": namespace}]}
    storage = {"ansible.builtin.include_role": {"name": "podwright.core.storage"}, "vars": variables}
    absent = storage | {"vars": variables | {"storage_state": "absent"}}
    try:
        refused = play([storage], namespace=namespace, expect=2)
        assert f"must not take over objects that exist and are not its members: StorageClass '{namespace}'" in " ".join(refused.output.split())
        assert not play([absent], namespace=namespace).is_changed
        assert client.get(STORAGE_CLASS, None, namespace)["metadata"]["resourceVersion"] == created["metadata"]["resourceVersion"]
    finally:
        client.delete(STORAGE_CLASS, None, namespace)
    play([storage, absent], namespace=namespace)
    assert client.get(STORAGE_CLASS, None, namespace) is None
