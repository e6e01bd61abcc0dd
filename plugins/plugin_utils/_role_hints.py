# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hints of errors in roles and playbooks of the collection: they name variables, since their users cannot set options of modules."""

from __future__ import annotations

import os
import re

COLLECTION = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
OPTIONS = ("conflicts", "on_immutable", "validate_certs", "wait_timeout")  # others are names in hints, too, such as those of fields


def name_variables(result, args, path):
    """A result whose hint names the variables from which a role or playbook of the collection sets options, instead of these.

    Args:
        args: the arguments of the task as they are in its file, with templates.
        path: that file; empty for an ad-hoc task.
    """
    place = os.path.relpath(os.path.realpath(path), COLLECTION).split(os.sep) if path else []
    if not result.get("hint") or len(place) < 2 or place[0] not in ("roles", "playbooks"):
        return result
    prefix, hint = f"podwright_|{place[1]}_" if place[0] == "roles" else "podwright_", result["hint"]
    for option in OPTIONS:
        if not re.search(rf"\b(?:[Ss]et|[Ii]ncrease|[Rr]aise) {option}\b", hint):
            continue
        variables = sorted(set(re.findall(rf"\b(?:{prefix})\w+", str(args.get(option, "")))))
        if variables:
            hint = re.sub(rf"\b{option}\b", " or ".join(variables), hint)
        elif option in args:
            hint += f" {'The role' if place[0] == 'roles' else 'The playbook'} sets {option} itself."
        else:
            hint += f" No variable sets {option}: set it with module_defaults of a play."
    return result | {"hint": hint, "msg": str(result["msg"]).replace(result["hint"], hint)}
