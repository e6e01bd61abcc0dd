# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Operations run in the test's process, as their actions run them."""

from __future__ import annotations

import json
import re
from types import ModuleType
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import perform

from .environment import KUBECONFIG

IMAGE = {"image": "busybox", "image_pull_policy": "IfNotPresent", "termination_grace_period": 0}


def call(module: ModuleType, options: dict[str, Any], namespace: str, check_mode: bool = False) -> dict[str, Any]:
    """Run an operation in this process, as its action does."""
    operation = module.OPERATION
    checked = ArgumentSpecValidator(operation.arguments, **operation.rules).validate({"kubeconfig": KUBECONFIG, "namespace": namespace} | options)
    assert not checked.error_messages, checked.error_messages
    result: dict[str, Any] = perform(operation, checked.validated_parameters, check_mode, False, Console())
    return result


def outline(result: dict[str, Any]) -> str:
    """What a result of resource_set says about changes: the plan, or the reason of a failure."""
    if result["failed"]:
        return str(result["reason"])
    # The digests of secret values differ between two runs.
    return re.sub("secret:[0-9a-f]+", "secret", json.dumps([result["changed"], *([entry["action"], entry["patch"]] for entry in result["plan"])]))
