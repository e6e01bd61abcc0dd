# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names of the API's fields: options spell them in snake_case."""

from __future__ import annotations

import re
from typing import Any

_SEPARATOR, _INITIALS = re.compile(r"_(\w)"), re.compile(r"_(ip|api)\b")  # as in hostIP and downwardAPI
# The keys below these are the user's own names.
VERBATIM = frozenset(("matchLabels", "labels", "annotations", "nodeSelector", "volumeAttributes"))


def camelize(value: Any) -> Any:
    """Plain data with its snake_case keys in the API's spelling; keys of label selectors and the like stay as they are."""
    if isinstance(value, list):
        return [camelize(item) for item in value]
    if not isinstance(value, dict):
        return value
    camelized = {}
    for key, item in value.items():
        name = _SEPARATOR.sub(lambda match: match.group(1).upper(), _INITIALS.sub(lambda match: match.group(1).upper(), str(key)))
        camelized[name] = item if name in VERBATIM else camelize(item)
    return camelized
