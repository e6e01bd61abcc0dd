# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is published: the content of the tarball, and pages whose links work wherever they are shown."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from ..support.documents import read_yaml
from ..support.environment import ROOT

GALAXY = read_yaml((ROOT / "galaxy.yml").read_text())
BLOB = f"{GALAXY['repository']}/blob/main/"
RAW = "https://raw.githubusercontent.com/podwright/podwright/main/"
PLUGIN_TYPES = {"action", "connection", "doc_fragments", "filter", "inventory", "lookup", "module_utils", "modules", "plugin_utils", "test"}
# What the tarball contains, besides directories.
PUBLISHED = (
    r"MANIFEST\.json|FILES\.json|README\.md|COPYING|CHANGELOG\.md|CODE_OF_CONDUCT\.md|CONTRIBUTING\.md|SECURITY\.md",
    r"changelogs/(changelog|config)\.yaml",
    r"docs/docsite/(links\.yml|extra-docs\.yml|rst/\w+\.rst)",
    r"extensions/eda/plugins/event_(source|filter)/\w+\.py",
    r"meta/(runtime|execution-environment)\.yml|meta/ee-requirements\.txt",
    r"playbooks/((tasks|vars)/)?\w+\.yml|playbooks/files/\w+\.py|playbooks/files/sonnets/\d+\.txt|playbooks/templates/[\w.-]+\.j2",
    rf"plugins/({'|'.join(sorted(PLUGIN_TYPES))})/([\w/]+)\.py",
    r"roles/\w+/(README\.md|(tasks|meta|vars|defaults)/\w+\.yml|templates/\w+\.yml\.j2)",
)
# Modules outside of the private engine and helpers would be an interface for other collections.
PUBLIC_CODE = re.compile(r"plugins/(module|plugin)_utils/(?!_)(?!__init__\.py$)")
LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def tarball(tmp_path_factory) -> list[tarfile.TarInfo]:
    """The members of the tarball that `ansible-galaxy collection build` makes."""
    directory = tmp_path_factory.mktemp("build")
    command = [str(Path(sys.executable).with_name("ansible-galaxy")), "collection", "build", "--output-path", str(directory), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    with tarfile.open(directory / f"podwright-core-{GALAXY['version']}.tar.gz") as archive:
        return archive.getmembers()


def test_the_tarball_contains_what_users_need_and_nothing_else(tarball):
    files = [member.name for member in tarball if not member.isdir()]
    assert [name for name in files if not re.fullmatch("|".join(PUBLISHED), name) or "__pycache__" in name] == []
    needed = {
        "COPYING",
        "README.md",
        "CHANGELOG.md",
        "CODE_OF_CONDUCT.md",
        "changelogs/changelog.yaml",
        "meta/ee-requirements.txt",
        "plugins/modules/task_pod.py",
    }
    assert needed - set(files) == set()


def test_no_directory_of_the_tarball_is_empty(tarball):
    parents = {str(parent) for member in tarball if not member.isdir() for parent in Path(member.name).parents}
    assert {member.name.rstrip("/") for member in tarball if member.isdir()} - parents == set()


def test_the_code_that_modules_share_is_private(tarball):
    assert [member.name for member in tarball if PUBLIC_CODE.match(member.name)] == []


def anchors(path: Path) -> set[str]:
    """The anchors of a page at GitHub: its headings in lower case, with a hyphen for each space."""
    headings = re.findall(r"^#+ (.*)", re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(path: Path) -> list[str]:
    """The links of a page to files of the repository and their headings that do not exist."""
    broken = []
    for link in LINK.findall(re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)):
        name, _hash, anchor = link.partition("#")
        if link.startswith(("https:", "http:", "mailto:")) and not link.startswith((BLOB, RAW)):
            continue
        target = ROOT / name.removeprefix(BLOB).removeprefix(RAW) if name.startswith((BLOB, RAW)) else (path.parent / name if name else path)
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)
    return broken


PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/guides/*.md"), *ROOT.glob("roles/*/README.md")} - {ROOT / "CHANGELOG.md"})


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_within_the_repository_work(path: Path):
    assert broken_links(path) == []


def test_broken_links_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        f"# A heading, there\n[a](#a-heading-there) [b](#b) [c](missing.md) [d]({BLOB}README.md#podwright) [e]({RAW}missing.svg) [f](https://x.y)\n"
    )
    assert broken_links(page) == ["#b", "missing.md", f"{RAW}missing.svg"]


@pytest.mark.parametrize("name", ["README.md", "CODE_OF_CONDUCT.md", "docs/releases.md"])
def test_pages_that_are_shown_elsewhere_have_absolute_links(name):
    assert [link for link in LINK.findall((ROOT / name).read_text()) if not link.startswith("https:")] == []


def test_the_readme_states_what_the_ansible_package_requires():
    text = (ROOT / "README.md").read_text()
    for part in (
        "https://forum.ansible.com/tag/podwright",
        "CODE_OF_CONDUCT.md",
        "https://semver.org",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "## Supported versions",
    ):
        assert part in text, part
    assert re.search(r'requires_ansible: ">=2\.16\.0"', (ROOT / "meta/runtime.yml").read_text()) and "ansible-core 2.16 or later" in text


def test_each_module_role_and_playbook_is_in_the_readme():
    text = (ROOT / "README.md").read_text()
    names = [f"[`{path.stem}`]" for path in ROOT.glob("plugins/modules/*.py")] + [f"[`{path.name}`]" for path in ROOT.glob("roles/*")]
    kinds = ("playbooks/*.yml", "extensions/eda/plugins/*/*.py", *(f"plugins/{kind}/*.py" for kind in ("connection", "filter", "inventory", "lookup")))
    names += [f"`podwright.core.{path.stem}`" for kind in kinds for path in ROOT.glob(kind)]
    assert [name for name in names if name not in text] == []


def test_every_plugin_was_added_in_a_version_that_exists():
    released = read_yaml((ROOT / "changelogs/changelog.yaml").read_text())["releases"].keys() | {GALAXY["version"]}
    added = {match for path in ROOT.glob("plugins/**/*.py") for match in re.findall(r"^ *version_added: (\S+)", path.read_text(), re.MULTILINE)}
    assert added and added - released == set()


def test_the_requirements_have_lower_limits_only():
    requirements = (ROOT / "meta/ee-requirements.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[\w-]+>=[\d.]+", line) for line in requirements if not line.startswith("#"))
