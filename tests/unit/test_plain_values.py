# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The engine gets built-in types, whatever Ansible passes."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.plugin_utils._values import plain

UnsafeText = type("UnsafeText", (str,), {"__str__": lambda self: self})  # as that of ansible-core before 2.19


@pytest.mark.parametrize("value", [UnsafeText("text"), [UnsafeText("text")], {UnsafeText("key"): UnsafeText("text")}])
def test_unsafe_text_becomes_text(value):
    found = plain(value)
    while found.__class__ is not str:
        found = next(iter(found.popitem() if isinstance(found, dict) else found))
    assert found in ("key", "text")
    assert plain({"key": UnsafeText("text")})["key"].__class__ is str
