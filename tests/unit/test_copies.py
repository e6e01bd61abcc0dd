# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults of copies that the model of random trees has found, each by itself."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer import local, remote, upload
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.list_script import LIST
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.listing import read_listing
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.local import LocalTree
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.remote import ContainerTree
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.scripts import TOOLS as NEEDED
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.single_file import put_file
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.tree import DIRECTORY, LINK, ROOT, Entry, find_loop

from .local_pod import TOOLS, LocalPod, run_copy

USER = 1234
IS_ROOT = os.geteuid() == 0


@pytest.fixture
def place():
    """A directory that every user may enter, with `controller` and `pod` in it."""
    with tempfile.TemporaryDirectory(prefix="podwright-test-") as top:
        Path(top).chmod(0o755)
        for name in ("controller", "pod", "bin"):
            Path(top, name).mkdir()
        yield Path(top)


@pytest.fixture(params=TOOLS)
def pod(request, place, monkeypatch):
    """A LocalPod with each set of tools."""
    return LocalPod(request.param, place / "bin", monkeypatch)


@pytest.fixture(params=TOOLS)
def user_pod(request, place, monkeypatch):
    """A LocalPod that does not run as root, to which the directory `pod` belongs."""
    options = {"user": USER, "group": USER, "extra_groups": []} if IS_ROOT else {}
    if IS_ROOT:
        os.chown(place / "pod", USER, USER)
    return LocalPod(request.param, place / "bin", monkeypatch, umask=0o022, **options)


def options_of(place, **options):
    """Options of a copy between the directories `tree` of both sides."""
    return {"local_path": str(place / "controller/tree"), "remote_path": str(place / "pod/tree")} | options


def copy(pod, place, **options):
    """The result of a copy that check mode predicts and that does not fail."""
    options = options_of(place, **options)
    predicted, _error, _warnings = run_copy(pod.client, options, check_mode=True)
    result, error, _warnings = run_copy(pod.client, options)
    assert error is None, error
    assert {name: result.get(name) for name in ("changed", "changes", "checksum")} == {name: predicted.get(name) for name in ("changed", "changes", "checksum")}
    again, error, _warnings = run_copy(pod.client, options)
    assert error is None and not again["changed"], again
    return result


def refusal(pod, place, **options):
    """The error of a copy, which is also that of check mode."""
    options = options_of(place, **options)
    (_result, predicted, _none), (result, error, _warnings) = run_copy(pod.client, options, check_mode=True), run_copy(pod.client, options)
    assert error and str(error) == str(predicted) and not result.get("changed")
    return error


@pytest.mark.parametrize(
    "options",
    [{"local_path": "{place}/none/*.txt"}, {"state": "from_pod", "remote_path": "{place}/none/*.txt", "local_path": "{place}/copy"}],
)
def test_a_path_that_is_meant_as_a_pattern_has_a_hint(pod, place, options):
    error = refusal(pod, place, **{name: text.format(place=place) for name, text in options.items()})
    assert "not found" in error.message and error.hint.startswith("A path is not a pattern")


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def write(path, text="text", mode=0o644):
    """Write a file, with its directories."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("state", ["to_pod", "from_pod"])
def test_a_file_is_copied_to_the_target_of_a_link_like_a_directory(state, pod, place):
    source, target = (place / side for side in (("controller", "pod") if state == "to_pod" else ("pod", "controller")))
    write(source / "tree", "new")
    write(target / "elsewhere/real", "old")
    (target / "tree").symlink_to("elsewhere/real")
    assert copy(pod, place, state=state)["changed"]
    assert (target / "tree").is_symlink() and (target / "elsewhere/real").read_text() == "new"
    assert os.listdir(target / "elsewhere") == ["real"]


# -- links --------------------------------------------------------------------------------------------------


def test_links_of_the_target_are_replaced_instead_of_followed(pod, place):
    """Its `follow` is about the source. With `delete`, files outside the target were deleted."""
    write(place / "pod/tree/a/x", "new")
    for name in ("x", "other"):
        write(place / "outside" / name, "old")
    write(place / "controller/tree/b")
    (place / "controller/tree/a").symlink_to(place / "outside")
    result = copy(pod, place, state="from_pod", follow=True, delete=True)
    assert result["changes"] == ["replace a", "copy a/x", "create directory a", "delete b"]
    assert (place / "controller/tree/a/x").read_text() == "new" and not (place / "controller/tree/a").is_symlink()
    assert sorted(path.read_text() for path in (place / "outside").iterdir()) == ["old", "old"]


@pytest.mark.parametrize("options", [{}, {"method": "stream", "delete": True}, {"state": "from_pod"}])
def test_a_pod_that_is_replaced_after_its_files_were_listed_is_not_copied_to(options, pod, place):
    source, target = ("pod", "controller") if options.get("state") else ("controller", "pod")
    for name in ("a", "b"):
        write(place / source / "tree" / name, name)
    write(place / target / "tree/other")
    started, serve = write(place / "stat", "1 (a) b) S " + "0 " * 18 + "100 0"), pod.serve

    def replace_after_listing(sock, words, has_input, protocol, environment, number):
        if number > 1:
            started.write_text(started.read_text().replace("100", "101"))
        serve(sock, [word.replace("/proc/1/stat", str(started)) for word in words], has_input, protocol, environment, number)

    pod.serve = replace_after_listing
    result, error, _warnings = run_copy(pod.client, options_of(place, **options))
    assert error and "the pod was replaced" in error.message and error.hint == "Run the task again."
    assert not result["changed"] or result["result"].endswith("in part."), result
    assert [path.name for path in (place / target / "tree").iterdir()] == ["other"]


@pytest.mark.parametrize(
    ("options", "skipped"),
    [
        ({}, ["pipe"]),
        ({"follow": True}, ["broken", "pipe"]),
        ({"state": "from_pod"}, ["outer", "pipe"]),
        ({"state": "from_pod", "follow": True}, ["broken", "pipe"]),
    ],
)
def test_delete_keeps_what_the_source_has_and_is_skipped(options, skipped, pod, place):
    source, target = (place / side / "tree" for side in (("pod", "controller") if options.get("state") else ("controller", "pod")))
    write(source / "a/kept")
    os.mkfifo(source / "a/pipe")
    (source / "a/outer").symlink_to(place)
    (source / "a/broken").symlink_to("missing")
    if options.get("follow"):
        (source / "a/outer").unlink()
    for name in (*skipped, "other"):
        write(target / "a" / name / "x")
    assert "delete a/other" in copy(pod, place, delete=True, **options)["changes"]
    assert [name for name in skipped if not (target / "a" / name / "x").exists()] == [] and not (target / "a/other").exists()


def test_links_by_which_a_directory_contains_itself_are_refused_or_skipped(pod, place):
    """The find of busybox would follow two of them more than 2**40 times."""
    for side in ("controller", "pod"):
        write(place / side / "tree/a/file")
        (place / side / "tree/a/up").symlink_to("..")
        (place / side / "tree/x").symlink_to(".")
    assert "by it, a directory contains itself" in str(refusal(pod, place, state="from_pod", follow=True))
    copy(pod, place, follow=True, remote_path=str(place / "pod/copy"))
    assert sorted(path.relative_to(place / "pod/copy").as_posix() for path in (place / "pod/copy").rglob("*")) == ["a", "a/file"]
    _result, _error, warnings = run_copy(pod.client, options_of(place, follow=True), check_mode=True)
    assert len(warnings) == 2 and all("a symbolic link to a directory that contains it" in text for text in warnings)


@pytest.mark.parametrize(
    ("links", "loop"),
    [
        ({}, None),
        ({b"x": b"a"}, None),
        ({b"a/x": b"x"}, None),
        ({b"a/x": b"/top/other"}, None),
        ({b"a/x": b"../../other"}, None),
        ({b"x": b"."}, b"x"),
        ({b"a/x": b".."}, b"a/x"),
        ({b"a/x": b"../.."}, b"a/x"),
        ({b"a/x": b"/"}, b"a/x"),
        ({b"a/x": b"/top"}, b"a/x"),
        ({b"a/x": b"../b", b"b/y": b"../a"}, b"a/x"),
        ({b"x": b"a/c", b"a/c/up": b".."}, b"a/c/up"),
    ],
)
def test_links_by_which_a_directory_contains_itself_are_found(links, loop):
    tree = {path: Entry(DIRECTORY) for path in (ROOT, b"a", b"b", b"a/c")}
    assert find_loop(tree | {path: Entry(LINK, target=target) for path, target in links.items()}, b"/top/root") == loop


def test_directories_are_read_however_deep_they_are_nested(place):
    top, here, depth = place / "controller", os.getcwd(), sys.getrecursionlimit() + 100
    try:
        os.chdir(top)
        for _level in range(depth):
            os.mkdir("d")
            os.chdir("d")
        assert len(LocalTree(str(top)).observe(Console())) == depth + 1
    finally:
        while os.getcwd() != str(top.resolve()):  # older versions of Python delete them by recursion
            os.chdir("..")
            os.rmdir("d")
        os.chdir(here)


def test_a_link_whose_target_is_too_long_is_skipped_as_a_dangling_one(place):
    console = Console()
    (place / "controller/long").symlink_to("x" * 300)
    assert list(LocalTree(str(place / "controller"), follow=True).observe(console)) == [ROOT]
    assert "is a dangling symbolic link" in console.warnings[0]


@pytest.mark.parametrize("state", ["to_pod", "from_pod"])
def test_links_that_lead_to_themselves_or_through_a_file_are_skipped_as_dangling_ones(state, pod, place):
    source, target = (place / side / "tree" for side in (("controller", "pod") if state == "to_pod" else ("pod", "controller")))
    write(source / "file")
    for name, to in (("self", "self"), ("one", "other"), ("other", "one"), ("through", "file/x"), ("missing", "nothing")):
        (source / name).symlink_to(to)
    copy(pod, place, state=state, follow=True)
    assert os.listdir(target) == ["file"]


@pytest.mark.parametrize("state", ["to_pod", "from_pod"])
def test_a_directory_is_not_copied_to_a_dangling_link(state, pod, place):
    """Check mode predicted a success."""
    for side in ("controller", "pod"):
        write(place / side / "source/file")
        (place / side / "link").symlink_to("nothing")
    paths = {"to_pod": ("source", "link"), "from_pod": ("link", "source")}[state]
    error = refusal(pod, place, state=state, local_path=str(place / "controller" / paths[0]), remote_path=str(place / "pod" / paths[1]))
    assert "dangling symbolic link" in str(error)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"remote_path": "~/x"}, "remote_path: must not begin with '~', which no shell expands, got '~/x'."),
        ({"remote_path": "~"}, "remote_path: must not begin with '~'"),
        ({"local_path": "controller/file/"}, "local_path: must not end with '/' unless it is a directory, got controller/file/."),
    ],
)
def test_paths_that_would_name_something_else_are_refused(options, message, pod, place, monkeypatch):
    monkeypatch.chdir(place)
    write(place / "controller/file")
    assert refusal(pod, place, **options).message.startswith(message)


@pytest.mark.parametrize("state", ["to_pod", "from_pod"])
def test_parents_that_are_not_directories_are_found_in_check_mode(state, pod, place):
    for side in ("controller", "pod"):
        write(place / side / "source")
        write(place / side / "file")
        (place / side / "link").symlink_to("nothing")
    for parent in ("file", "file/a", "link", "link/a"):
        paths = {"to_pod": ("source", f"{parent}/x"), "from_pod": (f"{parent}/x", "source")}[state]
        error = refusal(pod, place, state=state, local_path=str(place / "controller" / paths[0]), remote_path=str(place / "pod" / paths[1]))
        assert "not a directory" in str(error)


def test_the_connection_does_not_copy_a_file_into_a_directory_under_a_temporary_name(pod, place):
    write(place / "controller/file")
    write(place / "pod/directory/other")
    with pytest.raises(PodwrightError, match="is a directory"):
        put_file(pod.client, pod.container, str(place / "controller/file"), str(place / "pod/directory"))
    assert os.listdir(place / "pod") == ["directory"] and os.listdir(place / "pod/directory") == ["other"]


def test_a_part_that_begins_late_does_not_create_the_file_again(pod, place):
    """Another part had failed, and what was written was deleted."""
    remote = ContainerTree(pod.client, pod.container, str(place / "pod/file"))
    remote.create(ROOT, "token")
    assert os.listdir(place / "pod") == [".file.podwright-part-token"]
    remote.clean_up([ROOT], "other")
    assert os.listdir(place / "pod") == [".file.podwright-part-token"]
    remote.clean_up([ROOT], "tok")
    with pytest.raises(PodwrightError, match="was deleted"):
        remote.write_part(ROOT, lambda: [b"text"], 0, 4, "token")
    assert os.listdir(place / "pod") == []


def test_of_two_uploads_to_the_same_place_at_the_same_time_one_succeeds(pod, place, monkeypatch):
    """The second deletes the temporary file of the first, which deletes only its own."""
    monkeypatch.setattr(upload, "LARGE", 1 << 17)
    create, has_begun, has_failed, outcomes = ContainerTree.create, threading.Event(), threading.Event(), []
    paths = [write(place / "controller" / name, name * (1 << 17)) for name in ("a", "b")]
    options = [options_of(place, local_path=str(path)) for path in paths]
    second = threading.Thread(target=lambda: outcomes.append(run_copy(pod.client, options[1])))

    def create_in_turn(tree, path, token):
        create(tree, path, token)
        if threading.current_thread() is second:
            has_begun.set()
            assert has_failed.wait(60)
        else:
            second.start()
            assert has_begun.wait(60)

    monkeypatch.setattr(ContainerTree, "create", create_in_turn)
    _result, error, _warnings = run_copy(pod.client, options[0])
    has_failed.set()
    second.join(60)
    assert "the temporary file was deleted" in str(error) and "another copy" in error.hint and outcomes[0][1] is None, outcomes
    assert os.listdir(place / "pod") == ["tree"] and (place / "pod/tree").read_text() == "b" * (1 << 17)


@pytest.mark.parametrize("state", ["to_pod", "from_pod"])
def test_times_before_1970_are_whole_seconds_in_both_directions(state, pod, place):
    source, target = (place / side / "tree" for side in (("controller", "pod") if state == "to_pod" else ("pod", "controller")))
    write(source / "file")
    os.utime(source / "file", (-4.75, -4.75))
    copy(pod, place, state=state, checksum=False)
    assert (target / "file").stat().st_mtime == -5


# -- names --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["tar", "stream"])
def test_names_are_bytes_in_any_locale(method, place, monkeypatch):
    """In a UTF-8 locale, GNU sed left invalid bytes of names behind their digests. GNU tar interprets backslashes in the names that it is given."""
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    pod, names = LocalPod("gnu", place / "bin", monkeypatch), [b"\xff\xfe", b"\\0101", b"back\\slash", b"new\nline"]
    os.makedirs(place / "controller/tree")
    for name in names:
        Path(os.fsdecode(os.fsencode(place / "controller/tree") + b"/" + name)).write_text("text")
    copy(pod, place, method=method)
    copy(pod, place, method=method, state="from_pod", local_path=str(place / "controller/copy"))
    assert sorted(os.listdir(os.fsencode(place / "controller/copy"))) == sorted(names)


# -- special files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["tar", "stream"])
@pytest.mark.parametrize("state", ["to_pod", "from_pod"])
def test_special_files_of_the_target_are_replaced_or_deleted(state, method, pod, place):
    """Check mode predicted a success; with `delete`, they stayed."""
    source, target = (place / side / "tree" for side in (("controller", "pod") if state == "to_pod" else ("pod", "controller")))
    write(source / "directory/file")
    write(source / "file")
    target.mkdir()
    for name in ("directory", "file", "extra"):
        os.mkfifo(target / name)
    result = copy(pod, place, state=state, method=method)
    assert result["changes"][:2] == ["replace directory", "replace file"] and sorted(os.listdir(target)) == ["directory", "extra", "file"]
    assert copy(pod, place, state=state, method=method, delete=True)["changes"] == ["delete extra"]


def test_a_special_file_is_not_reported_as_missing(pod, place):
    os.mkfifo(place / "controller/tree")
    assert "neither a file nor a directory" in str(refusal(pod, place))


# -- modes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["tar", "stream"])
def test_read_only_directories_are_copied_by_any_user(method, user_pod, place):
    """Their content could not be unpacked, or they could not be moved, nor could the staging directory be deleted."""
    write(place / "controller/tree/a/b/file")
    for name, mode in (("a/b", 0o555), ("a", 0o444), (".", 0o555)):
        (place / "controller/tree" / name).chmod(mode)
    if IS_ROOT:
        copied, error, _warnings = run_copy(user_pod.client, options_of(place, method=method))
        assert error is None and copied["changed"]
        assert [mode_of(place / "pod/tree" / name) for name in ("", "a", "a/b")] == [0o555, 0o444, 0o555]
        assert os.listdir(place / "pod") == ["tree"]


@pytest.mark.parametrize("method", ["tar", "stream"])
def test_modes_do_not_depend_on_the_umask_of_the_container(method, user_pod, place):
    """The tar of busybox applies it, unless the user is root; a second run changed the modes."""
    for number, mode in enumerate((0o666, 0o664, 0o777)):
        write(place / "controller/tree/sub" / str(number), mode=mode)
    (place / "controller/tree/sub").chmod(0o777)
    (place / "controller/tree").chmod(0o775)
    copy(user_pod, place, method=method)
    assert [mode_of(place / "pod/tree/sub" / str(number)) for number in range(3)] == [0o666, 0o664, 0o777]
    assert mode_of(place / "pod/tree/sub") == 0o777 and mode_of(place / "pod/tree") == 0o775
    copy(user_pod, place, method=method, no_preserve=True, remote_path=str(place / "pod/new"))
    assert [mode_of(place / "pod/new" / name) for name in (".", "sub", "sub/0")] == [0o755, 0o755, 0o644]


@pytest.mark.parametrize(("before", "after"), [(0o755, 0o555), (0o555, 0o755)])
@pytest.mark.parametrize("method", ["tar", "stream"])
def test_directories_become_writable_before_and_read_only_after_what_changes_in_them(method, before, after, user_pod, place):
    write(place / "controller/tree/directory/new")
    (place / "controller/tree/directory").chmod(after)
    write(place / "pod/tree/directory/old")
    (place / "pod/tree/directory").chmod(before)
    if IS_ROOT:
        for path in (place / "pod").rglob("*"):
            os.chown(path, USER, USER)
    copy(user_pod, place, method=method, delete=True)
    assert os.listdir(place / "pod/tree/directory") == ["new"] and mode_of(place / "pod/tree/directory") == after


# -- predictions and reports --------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["to_pod", "from_pod"])
def test_checksum_is_known_in_check_mode(state, pod, place):
    write(place / ("controller" if state == "to_pod" else "pod") / "tree")
    assert copy(pod, place, state=state)["checksum"]


@pytest.mark.skipif(not IS_ROOT, reason="needs a user who may not read a file")
def test_a_source_that_cannot_be_read_is_refused_in_check_mode(pod, place):
    write(place / "controller/tree/secret", mode=0o600)
    os.seteuid(USER)
    try:
        assert "Permission denied" in str(refusal(pod, place))
    finally:
        os.seteuid(0)
    assert os.listdir(place / "pod") == []


def pod_with_tool(place, monkeypatch, name, script):
    """A LocalPod in which a script takes the place of one tool."""
    pod = LocalPod("gnu", place / "bin", monkeypatch, path=f"{place}/bin:{os.environ['PATH']}")
    write(place / "bin" / name, f"#!/bin/sh\n{script}\n", 0o755)
    return pod


def test_a_failed_step_of_many_entries_counts_as_a_change(place, monkeypatch):
    pod = pod_with_tool(place, monkeypatch, "ln", "echo broken >&2; exit 1")
    write(place / "controller/tree/directory/file")
    (place / "controller/tree/link").symlink_to("directory")
    result, error, _warnings = run_copy(pod.client, options_of(place, method="stream"))
    assert "broken" in str(error) and (place / "pod/tree/directory").is_dir()
    assert result["changed"] and result["result"].endswith("in part.")


def test_files_that_vanish_while_a_directory_is_listed_are_not_listed(place, monkeypatch):
    pod = pod_with_tool(place, monkeypatch, "stat", f'rm -f {place}/pod/tree/temporary\nexec {shutil.which("stat")} "$@"')
    for name in ("kept", "temporary"):
        write(place / "pod/tree" / name)
    write(place / "controller/tree/file")
    assert copy(pod, place, delete=True)["changed"] and os.listdir(place / "pod/tree") == ["file"]


def test_what_the_kernel_shows_in_the_root_directory_is_not_listed(pod):
    words = LIST.command(root=b"/", follow="", tests="-maxdepth 2", pruned="")
    listed = read_listing(subprocess.run(words, env=pod.environment, check=True, capture_output=True).stdout).tree
    assert b"tmp" in listed and not any(path.split(b"/")[0] in (b"proc", b"sys") for path in listed)


def test_a_python_that_does_not_work_is_not_used(place, monkeypatch):
    """The sha256 of a large file was its error, and the copy failed since the file had `changed`."""
    for tool in {"sh", "readlink", "cat", "stat", "head", "tail", *NEEDED}:
        (place / "bin" / tool).symlink_to(shutil.which(tool))
    write(place / "bin/python3", "#!/bin/sh\necho broken >&2; exit 127\n", 0o755)
    pod = LocalPod("gnu", place / "bin", monkeypatch, path=str(place / "bin"))
    (place / "pod/tree").write_bytes(bytes(1 << 24))
    assert copy(pod, place, state="from_pod")["changed"]


@pytest.mark.skipif(not IS_ROOT, reason="needs a user who may not read a file")
def test_diff_does_not_need_to_read_the_file_that_is_replaced(user_pod, place):
    write(place / "controller/tree", "new")
    write(place / "pod/tree", "secret", mode=0o600)
    result, error, _warnings = run_copy(user_pod.client, options_of(place), diff_mode=True)
    assert error is None and result["diff"][0]["before"] == "(6 bytes, not readable)\n" and (place / "pod/tree").read_text() == "new"


# -- targets that exist -------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"owner": "77", "group": "78"}, {"mode": "0600"}, {"no_preserve": True}])
@pytest.mark.parametrize("method", ["tar", "stream"])
@pytest.mark.parametrize("state", ["to_pod", "from_pod"])
def test_directories_that_exist_keep_what_is_not_copied(state, method, options, pod, place):
    """A copy to /tmp removed its sticky bit, one to / closed it for all other users."""
    source, target = (place / side / "tree" for side in (("controller", "pod") if state == "to_pod" else ("pod", "controller")))
    write(source / "shared/file")
    write(target / "shared/other")
    for path, mode in ((source, 0o700), (source / "shared", 0o755), (target, 0o1777), (target / "shared", 0o2775)):
        path.chmod(mode)
    if "owner" in options and not IS_ROOT:
        return
    before = target.stat()
    result = copy(pod, place, state=state, method=method, **options)
    after = target.stat()
    assert "set attributes of ." not in result["changes"]
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert mode_of(target / "shared") == (0o2775 if options.get("no_preserve") else 0o2755)
    assert (target / "shared").stat().st_uid == int(options.get("owner", before.st_uid))


@pytest.mark.parametrize("method", ["tar", "stream"])
@pytest.mark.parametrize("state", ["to_pod", "from_pod"])
def test_a_directory_that_a_copy_creates_has_the_mode_of_the_source(state, method, pod, place):
    source, target = (place / side / "tree" for side in (("controller", "pod") if state == "to_pod" else ("pod", "controller")))
    write(source / "file")
    source.chmod(0o750)
    copy(pod, place, state=state, method=method)
    assert mode_of(target) == 0o750


@pytest.fixture
def mount(monkeypatch, place):
    """A function that shows a path as a mount point to both sides."""
    points = [f"{place}/{side}/tree".encode() for side in ("controller", "pod")]
    table = place / "mountinfo"

    def mount_at(path):
        points.append(os.fsencode(path).replace(b" ", b"\\040"))
        table.write_bytes(b"".join(b"36 35 98:0 / %s rw - ext4 /dev/x rw\n" % point for point in points))
        text = remote.LIST.text.replace("/proc/$process/mountinfo", str(table))
        monkeypatch.setattr(remote, "LIST", replace(remote.LIST, text=text))
        monkeypatch.setattr(local, "_mount_points", lambda: points)

    return mount_at


@pytest.mark.parametrize("state", ["to_pod", "from_pod"])
def test_delete_keeps_what_is_mounted_below_the_target(state, mount, pod, place):
    """It emptied the volume, and failed to remove the directory."""
    source, target = (place / side / "tree" for side in (("controller", "pod") if state == "to_pod" else ("pod", "controller")))
    for name in ("old", "a b/volume/data", "a b/other", "used/file", "used/old"):
        write(target / name)
    write(source / "used/file")
    mount(target / "a b/volume")
    mount(target / "used")
    assert copy(pod, place, state=state, delete=True)["changes"] == ["delete a b/other", "delete old", "delete used/old"]
    assert (target / "a b/volume/data").exists() and os.listdir(target / "used") == ["file"]
    _result, _error, warnings = run_copy(pod.client, options_of(place, state=state, delete=True))
    where = "in pod p, container c" if state == "to_pod" else "of this host"
    assert len(warnings) == 1 and warnings[0].startswith("a b/volume is kept: it is a mount point ") and where.split(maxsplit=1)[0] in warnings[0]


@pytest.mark.parametrize(("mounted", "text"), [("a", "is a mount point"), ("a/b", "with excluded paths or mount points")])
@pytest.mark.parametrize("state", ["to_pod", "from_pod"])
def test_a_mount_point_is_not_replaced(state, mounted, text, mount, pod, place):
    source, target = (place / side / "tree" for side in (("controller", "pod") if state == "to_pod" else ("pod", "controller")))
    write(source / "a")
    write(target / "a/b/c")
    mount(target / mounted)
    assert text in str(refusal(pod, place, state=state, delete=True))
    assert (target / "a/b/c").exists()


def test_mounts_of_this_host_are_found():
    assert b"proc" in local.mounts_below(local._mount_points(), b"/")


def test_a_deletion_that_fails_says_what_was_deleted(place, monkeypatch):
    pod = pod_with_tool(place, monkeypatch, "rm", f'{shutil.which("rm")} -rf {place}/pod/tree/a; echo "rm: broken" >&2; exit 1')
    for name in ("a", "b"):
        write(place / "pod/tree" / name)
    write(place / "controller/tree/file")
    result, error, _warnings = run_copy(pod.client, options_of(place, delete=True, method="stream"))
    assert "broken" in str(error) and result["files"]["deleted"] == 1 and result["changes"][-1] == "delete a"


# -- what the user may not read -----------------------------------------------------------------------------


CLOSED = [("lost+found", 0o000), ("lost+found", 0o644), ("lost+found", 0o311), ("a/b c", 0o000)]


def close(path, mode):
    """A directory with a file, and that mode, of another user."""
    write(path / "file")
    path.chmod(mode)


@pytest.mark.skipif(not IS_ROOT, reason="needs a directory of another user")
@pytest.mark.parametrize(("name", "mode"), CLOSED)
@pytest.mark.parametrize("method", ["tar", "stream"])
def test_a_directory_that_cannot_be_read_is_no_error_if_it_is_excluded(method, name, mode, user_pod, place):
    """The root of an ext4 volume contains one."""
    close(place / "pod/tree" / name, mode)
    write(place / "pod/tree/file", "text")
    error = refusal(user_pod, place, state="from_pod", method=method)
    assert "ermission denied" in str(error)
    copy(user_pod, place, state="from_pod", method=method, exclude=[name if "/" not in name else "a/*"])
    assert [path.name for path in (place / "controller/tree").iterdir() if path.name != "a"] == ["file"]


@pytest.mark.skipif(not IS_ROOT, reason="needs a directory of another user")
@pytest.mark.parametrize(("name", "mode"), CLOSED[:3])
def test_a_directory_that_cannot_be_read_is_no_error_in_a_target_unless_the_copy_concerns_it(name, mode, user_pod, place):
    (place / "pod/tree").mkdir()
    os.chown(place / "pod/tree", USER, USER)
    close(place / "pod/tree" / name, mode)
    write(place / "controller/tree/file")
    copy(user_pod, place)
    assert "ermission denied" in str(refusal(user_pod, place, delete=True))
    copy(user_pod, place, delete=True, exclude=["lost+found"])
    write(place / "controller/tree/lost+found/file")
    assert "ermission denied" in str(refusal(user_pod, place))


@pytest.mark.skipif(not IS_ROOT, reason="needs a directory of another user")
@pytest.mark.parametrize("state", ["to_pod", "from_pod"])
@pytest.mark.parametrize("mode", [0o000, 0o644, 0o311])
def test_a_directory_of_the_controller_that_cannot_be_read_is_no_error_if_it_is_excluded(mode, state, pod, place):
    (place / "controller/tree").mkdir()
    close(place / "controller/tree/closed", mode)
    for path in ("controller/tree", "pod"):
        os.chown(place / path, USER, USER)
    write(place / ("controller" if state == "to_pod" else "pod") / "tree/file")
    os.seteuid(USER)
    try:
        if state == "to_pod":
            assert "Cannot read" in str(refusal(pod, place))
        else:
            copy(pod, place, state=state)
            assert "Cannot read" in str(refusal(pod, place, state=state, delete=True))
        copy(pod, place, state=state, exclude=["closed"], delete=True)
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("state", ["to_pod", "from_pod"])
def test_nothing_is_said_about_what_is_excluded(state, pod, place):
    """A link through which a directory contains itself, one that dangles, and a special file."""
    source = place / ("controller" if state == "to_pod" else "pod") / "tree"
    write(source / "file")
    (source / "loop").symlink_to(".")
    (source / "dangling").symlink_to("nowhere")
    os.mkfifo(source / "pipe")
    options = {"state": state, "follow": True, "exclude": ["loop", "dangling", "p*"]}
    assert copy(pod, place, **options)["changes"][0] == "copy file"
    _result, _error, warnings = run_copy(pod.client, options_of(place, **options))
    assert warnings == []


def test_what_an_excluded_directory_contains_is_not_listed_unless_it_is_the_root(pod, place):
    for path in ("tree/file", "tree/node_modules/x", "tree/a/node_modules/tree/y"):
        write(place / "pod" / path)
    client, container = pod.client, pod.container
    tree = ContainerTree(client, container, str(place / "pod/tree"), exclude=["node_modules", "tree", "*"]).observe()
    assert sorted(tree) == [ROOT, b"a", b"a/node_modules", b"file", b"node_modules"]
