# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The configuration of Sphinx for `make docsite`."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import yaml

_HERE = Path(__file__).parent
_PAGES = _HERE.parents[1] / "tests/output/docsite/rst"
_GALAXY = yaml.safe_load((_HERE.parents[1] / "galaxy.yml").read_text())

# Pages of Ansible's own documentation to which the reference links.
_ANSIBLE = {
    "action_plugins": "plugins/action.html",
    "ansible_configuration_settings": "reference_appendices/config.html",
    "become": "playbook_guide/playbooks_privilege_escalation.html",
    "common_return_values": "reference_appendices/common_return_values.html",
    "inventory_plugins": "plugins/inventory.html",
    "playbooks_lookups": "playbook_guide/playbooks_lookups.html",
}
_PLUGIN = re.compile(r"<(ansible_collections\.((?!podwright)\w+)\.(\w+)\.(\w+))>")
_VARIABLE = re.compile(r":envvar:`(?:[^`<]*<)?(ANSIBLE_\w+)")


def _ansible_inventory() -> str:
    """Write an inventory of the pages of Ansible that are linked, so that building needs no network. Returns its path."""
    texts = [path.read_text() for path in _PAGES.glob("**/*.rst")]
    plugins = {match for text in texts for match in _PLUGIN.findall(text)}
    variables = {name for text in texts for name in _VARIABLE.findall(text.replace("\\_", "_"))}
    labels = _ANSIBLE | {label: f"collections/{namespace}/{name}/{plugin}.html" for label, namespace, name, plugin in plugins}
    lines = "".join(f"{label} std:label -1 {page}#{re.sub(r'[^a-z0-9]+', '-', label)} {label}\n" for label, page in sorted(labels.items()))
    lines += "".join(f"{name} std:envvar 1 reference_appendices/config.html#envvar-$ -\n" for name in sorted(variables))
    path = _PAGES / "ansible.inv"
    header = b"# Sphinx inventory version 2\n# Project: Ansible\n# Version: devel\n# The remainder of this file is compressed using zlib.\n"
    path.write_bytes(header + zlib.compress(lines.encode()))
    return str(path)


project = "Podwright"
copyright = "Podwright contributors"
version = release = _GALAXY["version"]
html_title = html_short_title = f"Podwright {version}"
extensions = ["sphinx.ext.intersphinx", "sphinx_antsibull_ext"]
intersphinx_mapping = {"ansible": ("https://docs.ansible.com/projects/ansible/devel/", _ansible_inventory())}
nitpicky = True
highlight_language = "YAML+Jinja"
pygments_style = "ansible"
default_role = "any"
html_theme = "sphinx_ansible_theme"
html_show_sphinx = False
html_static_path = ["static"]
html_css_files = ["podwright.css"]
html_theme_options = {
    "documentation_home_url": "index.html",
    "topbar_links": {"Podwright": _GALAXY["repository"], "Ansible": "https://docs.ansible.com", "Forum": "https://forum.ansible.com/tag/podwright"},
}
