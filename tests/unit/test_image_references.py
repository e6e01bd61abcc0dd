# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""References to images in every form, which tests of the role image_policy give to the API server, too."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.objects.image_reference import is_prefix, parse_image

from ..support.image_references import INVALID, REFERENCES


@pytest.mark.parametrize("text", REFERENCES)
def test_an_image_is_in_the_repository_that_a_node_pulls_it_from(text):
    found = parse_image(text)
    assert (found.repository, found.is_fixed) == REFERENCES[text]


@pytest.mark.parametrize("text", INVALID)
def test_what_no_registry_has_is_no_reference(text):
    assert parse_image(text) is None


def test_the_tag_and_the_digest_are_apart():
    found = parse_image(f"[::1]:5000/a/b:1.0@sha256:{'a' * 64}")
    assert (found.repository, found.tag, found.digest) == ("[::1]:5000/a/b", "1.0", f"sha256:{'a' * 64}")
    assert (parse_image("busybox").tagged, parse_image("docker.io/busybox:1").tagged) == ("docker.io/library/busybox:latest", "docker.io/library/busybox:1")


def test_a_repository_is_below_whole_components():
    found = parse_image("registry.example.com/team/app:1")
    assert all(map(found.is_below, ["registry.example.com", "registry.example.com/team", "registry.example.com/team/app"]))
    assert not any(
        map(found.is_below, ["registry.example.com/te", "registry.example", "registry.example.com/team/app/x", "registry.example.com/team/app:1", ""])
    )
    assert not parse_image("registry.example.com:5000/app").is_below("registry.example.com")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("docker.io", True), ("localhost", True), ("host:5000", True), ("[::1]:5000/a", True), ("a.b/c/d-e", True), ("HOST/a", True),
        ("busybox", False), ("team/app", False), ("https://a.b", False), ("a.b/", False), ("a.b/c:1", False), ("a.b//c", False), ("", False),
        ("a.b/C", False), (" a.b", False), ("a.b\n", False), ("*.b.c", False), ("-a.b", False), ("a..b", False),
    ],
)  # fmt: skip
def test_a_registry_is_named_with_its_host(text, expected):
    assert is_prefix(text) is expected
