# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The inventory plugin and the lookups in the process of a test, with the options of a file or an expression."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

from ansible import constants
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader

from ansible_collections.podwright.core.plugins.inventory import pods
from ansible_collections.podwright.core.plugins.lookup import bound_token, objects

from .documents import read_yaml

NAME = pods.InventoryModule.NAME


def _definitions(plugin):
    """The documented options, with those of the fragments."""
    documentation = read_yaml(plugin.DOCUMENTATION)
    options = dict(documentation["options"])
    for reference in documentation["extends_documentation_fragment"]:
        package, _dot, name = f"ansible.plugins.{reference}".rpartition("podwright.core.")
        module = f"ansible_collections.podwright.core.plugins.doc_fragments.{name}" if package else f"ansible.plugins.doc_fragments.{reference}"
        options |= read_yaml(import_module(module).ModuleDocFragment.DOCUMENTATION)["options"]
    return options


constants.config.initialize_plugin_configuration_definitions("inventory", NAME, _definitions(pods))
for module in (objects, bound_token):
    constants.config.initialize_plugin_configuration_definitions("lookup", module.__name__.rpartition(".")[2], _definitions(module))


def look_up(plugin, *terms, **options):
    """What the lookup of a module returns."""
    lookup = plugin.LookupModule(loader=DataLoader())
    lookup._load_name = lookup.ansible_name = plugin.__name__.rpartition(".")[2]
    return lookup.run(list(terms), {}, **options)


def read_inventory(path: Path, options, inventory=None, cache=False):
    """The inventory with the hosts that a file with these options describes."""
    path.write_text(json.dumps({"plugin": NAME, **options}))  # which is YAML, too
    plugin = pods.InventoryModule()
    plugin._load_name = plugin.ansible_name = NAME
    plugin._redirected_names, plugin.ansible_aliases = [NAME], [NAME]
    inventory = inventory or InventoryData()
    plugin.parse(inventory, DataLoader(), str(path), cache=cache)
    if plugin._options.get("cache"):
        plugin.update_cache_if_changed()
    return inventory
