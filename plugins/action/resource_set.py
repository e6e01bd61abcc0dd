# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs the operation `resource_set` in the controller's process if the task is local."""

from __future__ import annotations

import json
import os
import tempfile
import time
import urllib.parse

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.module_utils.urls import open_url
from ansible.plugins.loader import lookup_loader

from ansible_collections.podwright.core.plugins.module_utils import _bytecode  # pylint: disable=unused-import
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.operations.resource_set import OPERATION
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.documents import flatten, read_documents, repeated_keys
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.manifest import KUSTOMIZATION_HINT, KUSTOMIZATION_REFUSED, is_kustomization
from ansible_collections.podwright.core.plugins.plugin_utils._operation_action import OperationAction

MAX_DOWNLOAD = 64 << 20  # bytes
MANIFESTS = (".yml", ".yaml", ".json")
NAMES = ", ".join(f"*{ending}" for ending in MANIFESTS)
PARTIAL = ("label_selectors", "ignored_fields", "append_hash")  # options with which two manifests of one object may be two objects, or equal
CONNECT_SECONDS = 30
DOWNLOAD_SECONDS = 120
SYNTAX = (
    *("block_start_string", "block_end_string", "variable_start_string", "variable_end_string", "comment_start_string", "comment_end_string"),
    *("trim_blocks", "lstrip_blocks", "newline_sequence"),
)


class ActionModule(OperationAction):
    """The action of the module of this name; `src` and `template` are files of the controller, and `src` can be a URL."""

    operation = OPERATION

    def prepare(self, args, task_vars):
        """Read `src` and render `template` into `definition`."""
        sources = [name for name in ("definition", "resource_definition", "inline", "src", "template") if args.get(name) is not None]
        if sources not in (["src"], ["template"]) or args.get("src") == "":
            return args  # the validation reports options that exclude each other, and a src that would be the directory of the play
        (source,) = sources
        rest = {name: value for name, value in args.items() if name != source}
        if source == "template":
            return rest | {"definition": self._render(args["template"], task_vars)}
        is_whole = args.get("state") != "patched" and not any(args.get(name) for name in PARTIAL)
        return rest | {"definition": self._read_src(str(args["src"]), bool(args.get("kind")), is_whole)}

    def _find(self, option, directory, path):
        try:
            return self._find_needle(directory, path)
        except AnsibleError as error:
            raise AnsibleActionFail(f"{option}: file {path} does not exist in {directory}/ of the role or beside the play.") from error

    def _read_src(self, path, has_kind, is_whole):
        """The manifests of a file, a directory or a URL; they may lack a kind if the task has one.

        Args:
            is_whole: whether each object is to be as one manifest describes it.
        """
        if path.partition("://")[0].lower() in ("http", "https"):
            return self._parse({_public(path): self._download(path)}, _public(path), has_kind, is_whole)
        found = self._find("src", "files", path)
        files = _files_below(found) if os.path.isdir(found) else [found]
        return self._parse({file: self._read_file("src", file) for file in files}, f"{path} ({NAMES})" if os.path.isdir(found) else path, has_kind, is_whole)

    def _parse(self, texts, place, has_kind, is_whole):
        for origin, text in texts.items():
            for warning in repeated_keys(text, f"src {origin}"):
                self._display.warning(warning)
        return _read(texts, place, has_kind, is_whole)

    def _read_file(self, option, path):
        try:
            with open(self._loader.get_real_file(path), encoding="utf-8") as source:
                return source.read()
        except UnicodeDecodeError:
            raise AnsibleActionFail(f"{option}: file {path} must be text in UTF-8. Save it in that encoding.") from None
        except OSError as error:
            raise AnsibleActionFail(f"{option}: file {path} cannot be read: {error}") from error

    def _download(self, url):
        shown = _public(url)
        try:
            content = _download(url)
        except Exception as error:  # of urllib, http.client, ssl and socket
            reason = f"{type(error).__name__}: {error}".replace(url, shown)
            raise AnsibleActionFail(f"src: {shown} cannot be read: {reason}. Check the address and the network of the controller.") from None
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise AnsibleActionFail(f"src: {shown} must be text in UTF-8. Check the address.") from None

    def _render(self, given, task_vars):
        """The text of a template, or of a list of them as documents that follow each other."""
        if isinstance(given, (list, tuple)):
            return "\n---\n".join(self._render_one(template, f"template[{index}]", task_vars) for index, template in enumerate(given))
        return self._render_one(given, "template", task_vars)

    def _render_one(self, given, option, task_vars):
        options = dict(given) if isinstance(given, dict) else {"path": given}
        unknown = sorted(options.keys() - {"path", *SYNTAX})
        if unknown:
            raise AnsibleActionFail(f"{option}: unknown option {unknown[0]}; options: path, {', '.join(SYNTAX)}.")
        path = options.pop("path", None)
        if not isinstance(path, str) or not path:
            raise AnsibleActionFail(f"{option}.path: must be the path of a template.")
        found = self._find(option, "templates", str(path))
        if not options:
            return self._look_up(found, task_vars)
        # All versions of Ansible read the syntax of a template from its first line, and only some from options.
        header = "#jinja2: " + ", ".join(f"{name}:{_literal(value)}" for name, value in options.items())
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".j2") as file:
            file.write(f"{header}\n{self._read_file(option, found)}")
            file.flush()
            search_path = [*(task_vars.get("ansible_search_path") or []), os.path.dirname(found)]
            return self._look_up(file.name, task_vars | {"ansible_search_path": search_path})

    def _look_up(self, path, task_vars):
        lookup = lookup_loader.get("ansible.builtin.template", loader=self._loader, templar=self._templar)
        rendered = lookup.run([path], variables=task_vars)[0]
        if rendered is None:  # nothing is left of it
            return ""
        # Before 2.19, ansible-core converts a text such as [] to data.
        return rendered if isinstance(rendered, str) else json.dumps(rendered)


def _public(url):
    """A URL without what may be secret in it."""
    parts = urllib.parse.urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def _read(texts, place, has_kind, is_whole):
    """The manifests in texts by their origin."""
    try:
        found = [(origin, flatten(read_documents(text, f"src {origin}"))) for origin, text in texts.items()]
        manifests = [manifest for _origin, each in found for manifest in each]
        problems = (f"src {origin}: {problem}" for origin, each in found for manifest in each if (problem := _problem(manifest, has_kind)))
        failure = next(problems, "") if manifests else f"src: no manifests found in {place}."
        failure = failure or (_contradiction(found) if is_whole else "")
    except PodwrightError as error:
        failure = str(error)
    if failure:  # outside of the handler: ansible-core 2.16 cannot format tracebacks with frames of libyaml
        raise AnsibleActionFail(failure)
    return manifests


def _contradiction(found):
    """Which files describe one object differently; an empty string if none do. The operation finds what is not written alike, but knows no files."""
    origins = {}
    for origin, manifests in found:
        for manifest in manifests:
            metadata = manifest.get("metadata")
            metadata = metadata if isinstance(metadata, dict) else {}
            identity = (manifest.get("apiVersion"), manifest.get("kind"), metadata.get("namespace") or "", metadata.get("name"))
            if not all(isinstance(text, str) and text for text in (identity[0], identity[1], identity[3])) or not isinstance(identity[2], str):
                continue
            other, known = origins.setdefault(identity, (origin, manifest))
            if other != origin and json.dumps(known, sort_keys=True) != json.dumps(manifest, sort_keys=True):
                return f"src: {other} and {origin} describe {identity[1]} '{identity[3]}' differently. Remove one of them, or give each its own name."
    return ""


def _problem(document, has_kind):
    """Why a document is not a manifest, while its file is known; an empty string if it may be one."""
    if is_kustomization(document):
        return f"{KUSTOMIZATION_REFUSED} {KUSTOMIZATION_HINT}"
    if isinstance(document, dict) and (has_kind or document.get("kind")):
        return ""
    return "A document is not a manifest: it lacks kind. Every manifest needs apiVersion, kind and metadata.name."


def _download(url):
    """The content of a URL, which is limited in size and time."""
    deadline, content = time.monotonic() + DOWNLOAD_SECONDS, b""
    with open_url(url, timeout=CONNECT_SECONDS, http_agent="podwright") as response:
        while piece := response.read1(1 << 16):
            content += piece
            if len(content) > MAX_DOWNLOAD:
                raise ValueError(f"it has more than {MAX_DOWNLOAD} bytes")
            if time.monotonic() > deadline:
                raise TimeoutError(f"it was not complete within {DOWNLOAD_SECONDS} s")
        if response.length:  # http.client does not report what is missing
            raise ConnectionError("the connection was lost")
    return content


def _files_below(directory):
    """The files with manifests in a directory and those below it, sorted by path."""
    found = []
    for parent, directories, files in os.walk(directory, onerror=_refuse):
        directories[:] = [name for name in directories if not name.startswith(".")]
        for name in directories:
            if os.path.islink(path := os.path.join(parent, name)):  # ignored, its objects would be pruned
                rest = "Replace it by a directory, or rename it to a name that starts with a dot to leave it out."
                raise AnsibleActionFail(f"src: {path} is a symbolic link to a directory, and these are not followed. {rest}")
        found += [os.path.join(parent, name) for name in files if name.endswith(MANIFESTS) and not name.startswith(".")]
    for path in found:
        if not os.path.isfile(path):
            raise AnsibleActionFail(f"src: {path} must be a file.")
    return sorted(found)


def _refuse(error):
    raise AnsibleActionFail(f"src: directory {error.filename} cannot be read: {error.strerror}.") from error


def _literal(value):
    """The value as the first line of a template has it."""
    return repr(bool(value)) if isinstance(value, bool) else repr(str(value))
