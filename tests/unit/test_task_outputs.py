# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Results and artifacts: which options are valid, what the pod looks like, which values are returned."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.diagnosis import Tail
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.pod_status import Status
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks import outputs
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.decision import decide
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.file_containers import HOLDER
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.inputs import INPUTS
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.output_errors import missing_error
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.outputs import JSON, TEXT, ResultSource, parse_result
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.pod_template import build_manifest
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.record import build_record, read_record
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.validation import validate

from .task_specs import spec


def pod_of(profile="baseline", **options):
    return build_manifest(spec(**options), profile)["spec"]


def mounts_of(pod, name):
    container = next(container for container in pod["containers"] if container["name"] == name)
    return {mount["mountPath"]: mount.get("readOnly", False) for mount in container.get("volumeMounts", [])}


# -- options --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"results": {"a b": "/out/x"}}, "results: must have names"),
        ({"results": {"a": 5}}, "results.a: must be a path or a mapping"),
        ({"results": {"a": "out/x"}}, "results.a.path: must be an absolute path"),
        ({"results": {"a": "/out/../etc/x"}}, "results.a.path: must be an absolute path"),
        ({"results": {"a": "/out/"}}, "results.a.path: must be a file"),
        ({"results": {"a": {"path": "/out/x", "kind": "json"}}}, "results.a: unknown key 'kind'; use path"),
        ({"results": {"a": {"path": "/out/x", "type": "yaml"}}}, "results.a.type: must be text or json, got 'yaml'"),
        ({"results": {"a": {"path": "/out/x", "optional": "yes"}}}, "results.a.optional: must be true or false, got 'yes'"),
        ({"results": {"a": {"path": "/out/x", "termination_message": True}}}, "results.a: must have one of path and termination_message"),
        ({"results": {"a": {"type": "json"}}}, "results.a: must have one of"),
        ({"results": {"a": "/x"}}, "results.a: must be in a directory that an empty volume can take the place of, got '/x'"),
        ({"results": {"a": "/etc/x"}}, "results.a: must be in a directory"),
        ({"artifacts": [{"path": "/usr/lib/", "dest": "x"}]}, "artifacts[0].path: must be in a directory"),
        ({"artifacts": [{"path": "/out/x", "dest": ""}]}, "artifacts[0].dest: must be a path, got an empty string"),
        ({"artifacts": [{"path": "/out/x", "dest": "a\0b"}]}, "artifacts[0].dest: must be a path, got 'a\\x00b'."),
        ({"artifacts": [{"path": "/out/x", "dest": "a\ud800"}]}, "artifacts[0].dest: must be a path, got 'a\\ud800'."),
        ({"results": {"a": "/out/\ud800"}}, "results.a.path: must be an absolute path"),
        ({"artifacts": [{"path": "/out/x", "dest": "x"}], "kind": "Job"}, "artifacts[0].path: requires kind to be Pod"),
        ({"results": {"a": "/out/x"}, "record": False}, "record: must not be false with results"),
        ({"results": {"a": "/out/x"}, "containers": [{"name": HOLDER}]}, f"containers[0].name: must be unique in the pod, got '{HOLDER}' again"),
        ({"inputs": [{"path": "/in/x", "content": ""}], "init_containers": [{"name": INPUTS}]}, "init_containers[0].name: must be unique"),
        ({"inputs": [{"path": "in/x", "content": ""}]}, "inputs[0].path: must be an absolute path"),
        ({"inputs": [{"path": "/etc", "content": ""}]}, "inputs[0].path: must not hide a directory that every program needs, got '/etc'"),
        ({"inputs": [{"path": "/", "content": ""}]}, "inputs[0].path: must be an absolute path"),
        ({"inputs": [{"path": "/in/x"}]}, "inputs[0]: must have one of src and content"),
        ({"inputs": [{"path": "/in/x", "content": "", "src": "/"}]}, "inputs[0]: must have one of src and content"),
        ({"inputs": [{"path": "/in/x", "content": ""}, {"path": "/in/x/", "content": ""}]}, "inputs[1].path: must be unique, got '/in/x/' again"),
        (
            {"inputs": [{"path": "/in/x/y/z", "content": ""}, {"path": "/in/x", "content": ""}]},
            "inputs[0].path: must not be below inputs[1].path (/in/x), which is a file, got '/in/x/y/z'.",
        ),
        ({"inputs": [{"path": "/in/x", "src": __file__}, {"path": "/in/x/y", "content": ""}]}, "inputs[1].path: must not be below inputs[0].path (/in/x)"),
        ({"inputs": [{"path": "/in/x", "src": ""}]}, "inputs[0].src: must be a path, got an empty string."),
        ({"inputs": [{"path": "/in/x", "src": "/dev/null"}]}, "inputs[0].src: must be a file or a directory, got '/dev/null'."),
        ({"inputs": [{"path": "/in/x", "content": "", "mode": "999"}]}, "inputs[0].mode: must be a quoted octal number"),
        ({"inputs": [{"path": "/in/x", "src": "/no/such"}]}, "inputs[0].src: not found on the host that runs this task: /no/such"),
        ({"inputs": [{"path": "/in/x", "content": ""}], "kind": "Job"}, "inputs: requires kind to be Pod"),
        ({"results": {"a": "/out/x"}, "state": "running"}, "results: requires state to be completed"),
        ({"artifacts": [{"path": "/out/x", "dest": "x"}], "state": "running"}, "artifacts: requires state to be completed"),
    ],
)
def test_invalid_options_are_named(options, expected):
    with pytest.raises(PodwrightError) as caught:
        validate(spec(**options))
    assert str(caught.value).startswith(expected), str(caught.value)


def test_a_job_returns_its_termination_message():
    task = spec(kind="Job", results={"a": {"termination_message": True}})
    validate(task)
    pod = build_manifest(task, "baseline")["spec"]["template"]["spec"]
    assert [container["name"] for container in pod["containers"]] == ["task"]


@pytest.mark.parametrize(
    ("first", "second", "clash"),
    [
        (("/out/a", "x"), ("/out/a", "./x"), True),
        (("/out/a", "x/"), ("/out/a", "x/a"), True),
        (("/out/a", "x/"), ("/out/b", "x/"), False),
        (("/out/a/", "x/"), ("/out/b", "x/"), False),
        (("/out/a/", "x/"), ("/out/b/", "x"), True),
        (("/out/a", "there"), ("/out/a", "there/a"), True),
        (("/out/a/", "there"), ("/out/a", "there/a"), False),
        (("/out/a", "there"), ("/out/b", "there"), True),
        (("/out/a", "there"), ("/out/b", "there/b"), False),
    ],
)
def test_artifacts_must_not_replace_each_other(first, second, clash, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    given = [(f"tasks[{number}].", {"artifacts": [{"path": path, "dest": dest}]}) for number, (path, dest) in enumerate((first, second))]
    if not clash:
        outputs.check_destinations(given)
        return
    with pytest.raises(PodwrightError, match=r"^tasks\[1\]\.artifacts\[0\]\.dest: must not be that of tasks\[0\]\.artifacts\[0\]"):
        outputs.check_destinations(given)


# -- the pod --------------------------------------------------------------------------------------------------


def test_directories_become_volumes_that_the_holder_reads():
    pod = pod_of(results={"a": "/out/a", "b": "/out/sub/b"}, artifacts=[{"path": "/srv/report/", "dest": "x"}, {"path": "/srv/log", "dest": "y"}])
    assert mounts_of(pod, "task") == {"/out": False, "/srv": False}
    assert mounts_of(pod, HOLDER) == {"/out": True, "/srv": True, "/podwright-files": False}
    assert {tuple(volume)[1] for volume in pod["volumes"]} == {"emptyDir"}


def test_files_in_volumes_of_the_task_need_no_other_volume():
    volumes = [{"name": "data", "mount_path": "/data", "claim": "c"}, {"name": "other", "mount_path": "/other", "empty_dir": {}}]
    pod = pod_of(volumes=volumes, shared_workspace="/work", results={"a": "/data/a"}, artifacts=[{"path": "/work/", "dest": "x"}])
    assert mounts_of(pod, "task") == {"/data": False, "/other": False, "/work": False}
    assert mounts_of(pod, HOLDER) == {"/data": True, "/work": True, "/podwright-files": False}


def test_files_in_volumes_of_the_definition_need_no_other_volume():
    def defined(**mount):
        mounts = [{"name": "w", "mountPath": "/work"} | mount, {"name": "x", "mountPath": "/x"}]
        containers = [{"name": "task", "volumeMounts": mounts}, {"name": "other", "volumeMounts": [{"name": "w", "mountPath": "/out"}]}]
        return {"spec": {"volumes": [{"name": "w", "emptyDir": {}}, {"name": "x", "emptyDir": {}}], "containers": containers}}

    files = {"results": {"a": "/work/out/a", "b": "/out/b"}, "state": "completed"}
    pod = pod_of(**files, definition=defined(subPath="s"))
    assert mounts_of(pod, "task") == {"/out": False, "/work": False, "/x": False}
    assert mounts_of(pod, HOLDER) == {"/out": True, "/work": True, "/podwright-files": False}
    holder = next(container for container in pod["containers"] if container["name"] == HOLDER)
    assert {"name": "w", "mountPath": "/work", "readOnly": True, "subPath": "s"} in holder["volumeMounts"]
    volumes = [{"name": "data", "mount_path": "/work", "empty_dir": {}}]  # takes the place of the mount in the definition
    assert mounts_of(pod_of(**files, definition=defined(), volumes=volumes), HOLDER) == {"/out": True, "/work": True, "/podwright-files": False}
    with pytest.raises(PodwrightError, match=r"^results\.a: must not be in a mount of definition with subPathExpr, got '/work/out/a'"):
        pod_of(**files, definition=defined(subPathExpr="$(NAME)"))
    with pytest.raises(PodwrightError, match=r"^definition\.spec\.containers\[0\]: must be a mapping"):
        pod_of(**files, definition={"spec": {"containers": ["task"]}})


def test_a_task_without_files_has_no_other_container():
    assert [container["name"] for container in pod_of(results={"a": {"termination_message": True}})["containers"]] == ["task"]


def test_the_holder_complies_with_the_pod_security_level_and_with_quotas():
    files = {"results": {"a": "/out/a"}}
    plain, limited = (pod_of(**files, **more)["containers"][1] for more in ({}, {"resources": {"limits": {"cpu": "1"}}}))
    assert "resources" not in plain and limited["resources"]["limits"] == limited["resources"]["requests"] == {"cpu": "100m", "memory": "64Mi"}
    own = pod_of(**files, helper_image="tools:1", helper_resources={"limits": {"cpu": "2"}})["containers"][1]
    assert own["image"] == "tools:1" and own["resources"] == {"limits": {"cpu": "2"}, "requests": {"cpu": "1"}}
    context = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert pod_of("restricted", **files)["containers"][1]["securityContext"] == context
    as_image = pod_of("restricted", run_as_user="image", **files)
    assert as_image["containers"][1]["securityContext"] == context | {"runAsUser": 65532} and "runAsUser" not in as_image["containers"][0]["securityContext"]


def test_only_paths_in_the_pod_are_part_of_the_hash():
    task = spec(results={"a": "/out/a"}, artifacts=[{"path": "/out/b", "dest": "x", "optional": False}])
    same = spec(results={"z": {"path": "/out/a", "type": "json"}}, artifacts=[{"path": "/out/b", "dest": "y", "optional": True}], helper_image="other")
    assert task.hash == same.hash != spec(results={"a": "/out/c"}).hash != spec().hash
    assert spec().hash == spec(results={"a": {"termination_message": True}}).hash
    assert task.keeps_record and not spec().keeps_record


# -- inputs ---------------------------------------------------------------------------------------------------


def test_inputs_are_mounted_or_copied_to_the_volume_that_contains_them(tmp_path):
    (tmp_path / "src").mkdir()
    inputs = [
        {"path": "/etc/app.conf", "content": "x"},
        {"path": "/src/", "src": str(tmp_path / "src")},
        {"path": "/src/extra", "content": "y"},
        {"path": "/work/a", "content": "z"},
        {"path": "/output/in", "content": "z"},
    ]
    task = spec(inputs=inputs, shared_workspace="/work", results={"r": "/output/r"})
    validate(task)
    places = {entry.path: entry.delivery for entry in task.inputs}
    root = "/podwright-inputs/files"
    assert places == {"/etc/app.conf": f"{root}/0", "/src": f"{root}/1", "/src/extra": f"{root}/1/extra", "/work/a": "/work/a", "/output/in": "/output/in"}
    pod = build_manifest(task, "baseline")["spec"]
    mounts = {mount["mountPath"]: mount.get("subPath") for mount in pod["containers"][0]["volumeMounts"]}
    assert mounts == {"/work": None, "/output": None, "/etc/app.conf": "files/0", "/src": "files/1"}
    (waiter,) = pod["initContainers"]
    assert waiter["name"] == INPUTS and [mount["mountPath"] for mount in waiter["volumeMounts"]] == ["/work", "/output", "/podwright-inputs"]


def test_the_containers_with_files_know_the_uid_of_their_pod():
    pod = pod_of(inputs=[{"path": "/in/x", "content": ""}], results={"a": "/out/a"})
    uid = [{"name": "PODWRIGHT_POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}]
    found = {container["name"]: container.get("env") for container in (*pod["initContainers"], *pod["containers"])}
    assert found == {INPUTS: uid, "task": None, HOLDER: uid}


def test_inputs_are_there_before_the_other_init_containers():
    pod = build_manifest(spec(inputs=[{"path": "/in/x", "content": ""}], init_containers=[{"name": "own"}], containers=[{"name": "side"}]), "baseline")["spec"]
    assert [container["name"] for container in pod["initContainers"]] == [INPUTS, "own", "side"]
    assert all(mount["mountPath"] == "/in/x" for container in pod["initContainers"][1:] for mount in container["volumeMounts"])


def test_the_hash_depends_on_the_content_of_inputs_and_conceals_it(tmp_path):
    def hash_of(name="t", **entry):
        return spec(name=name, inputs=[{"path": "/in/x"} | entry]).hash

    source = tmp_path / "src"
    source.mkdir()
    (source / "a").write_text("1")
    hashes = [hash_of(content="1"), hash_of(content="2"), hash_of(content="1", mode="0600"), hash_of(src=str(source)), hash_of("other", content="1")]
    (source / "a").write_text("2")
    hashes.append(hash_of(src=str(source)))
    (source / "a").chmod(0o755)
    hashes.append(hash_of(src=str(source)))
    (source / "b").symlink_to("a")
    hashes.append(hash_of(src=str(source)))
    assert len(set(hashes)) == len(hashes)
    (source / "a").touch()
    (source / "a").chmod(0o775)
    assert hash_of(src=str(source)) == hashes[-1] and hash_of(content="1") == hash_of(src=str(single(tmp_path))) == hashes[0]
    assert "podwright.io/hash" not in str(build_manifest(spec(inputs=[{"path": "/in/x", "content": "canary"}]), "baseline")["spec"])
    assert "canary" not in str(build_manifest(spec(inputs=[{"path": "/in/x", "content": "canary"}]), "baseline"))


def single(directory):
    path = directory / "single"
    path.write_text("1")
    return path


@pytest.mark.parametrize("path", ["/out/*.xml", "/out/a?", "/out/[ab]"])
def test_a_pattern_is_not_a_path(path):
    assert "not a pattern" in missing_error("artifact", path).hint and "not a pattern" not in missing_error("artifact", "/out/a.xml").hint


BUNDLE = {"path": "a", "label_selector": {"match_labels": {"mode": "strict"}}}


def test_modes_of_volumes_may_be_octal_text():
    items = [{"key": "a", "path": "a", "mode": "0700"}]
    volumes = [
        {"name": "c", "config_map": {"name": "c", "default_mode": "0755", "items": items}},
        {"name": "s", "secret": {"secret_name": "s", "defaultMode": 0o400}},
        {"name": "p", "projected": {"sources": [{"config_map": {"name": "c", "items": items}}, {"cluster_trust_bundle": BUNDLE}]}},
        {"name": "d", "csi": {"driver": "d", "volume_attributes": {"mode": "0755"}}},
    ]
    built = build_manifest(spec(volumes=volumes), "baseline")["spec"]["volumes"]
    assert built[0]["configMap"] == {"name": "c", "defaultMode": 0o755, "items": [{"key": "a", "path": "a", "mode": 0o700}]}
    assert built[1]["secret"]["defaultMode"] == 0o400 and built[2]["projected"]["sources"][0]["configMap"]["items"][0]["mode"] == 0o700
    assert built[3]["csi"]["volumeAttributes"] == {"mode": "0755"}


# -- values ---------------------------------------------------------------------------------------------------


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda v: st.lists(v) | st.dictionaries(st.text(), v),
)


@given(JSON_VALUES)
def test_json_results_have_their_types(value):
    assert parse_result(ResultSource("r", "/r", JSON, False), json.dumps(value)) == value
    assert parse_result(ResultSource("r", "/r", TEXT, False), json.dumps(value)) == json.dumps(value)


@pytest.mark.parametrize("text", ["", "{", "NaN", "[Infinity]", "1" * 5000, "1e999", "9" * 30, "[" * 5000 + "]" * 5000, "[" * 150 + "]" * 150, "'x'"])
def test_other_text_is_no_json_result(text):
    with pytest.raises(PodwrightError, match="its result 'r' is not valid JSON"):
        parse_result(ResultSource("r", "/r", JSON, False), text)


@pytest.mark.parametrize(("text", "value"), [('"a\\ud800"', "a\ufffd"), ('[{"\\udfff": "\\ud83d\\ude00"}]', [{"\ufffd": "\U0001f600"}])])
def test_half_of_a_surrogate_pair_in_a_result_is_replaced(text, value):
    assert parse_result(ResultSource("r", "/r", JSON, False), text) == value
    recorded = record_of(spec(), results=json.dumps({"x": "\ud800"}))
    assert recorded.results == {"x": "\ufffd"}


@pytest.mark.parametrize(("number", "is_valid"), [(2**63 - 1, True), (2**63, False), (-(2**63), True), (-(2**63) - 1, False)])
def test_integers_of_json_results_have_64_bits(number, is_valid):
    source = ResultSource("r", "/r", JSON, False)
    if is_valid:
        assert parse_result(source, str(number)) == number
        return
    with pytest.raises(PodwrightError, match="at most 64 bits"):
        parse_result(source, str(number))


def test_a_json_result_may_begin_with_a_byte_order_mark():
    assert parse_result(ResultSource("r", "/r", JSON, False), "\ufeff[1]") == [1]
    with pytest.raises(PodwrightError, match="is not valid JSON: it is empty"):
        parse_result(ResultSource("r", "/r", JSON, False), " \n")


def test_results_of_other_tasks_are_variables():
    results = {"my-task": {"size": "5\n", "list": [1, "a"], "none": None}, "b": {"yes": True}}
    assert outputs.result_variables(results) == {"MY_TASK_SIZE": "5\n", "MY_TASK_LIST": '[1, "a"]', "MY_TASK_NONE": "null", "B_YES": "true"}


# -- records --------------------------------------------------------------------------------------------------


RECORD = {"results": json.dumps({"a": "x"}), "artifacts": json.dumps([{"path": "/out/b", "dest": "/host/d", "target": "/host/d"}]), "state": "succeeded"}
FILES = {"results": {"a": "/out/a"}, "artifacts": [{"path": "/out/b", "dest": "/host/d", "optional": False}]}


def record_of(task, **data):
    manifest = build_record(task, decide_status(), None, 1, Tail())
    return read_record(manifest | {"data": manifest["data"] | data})


def decide_status():
    return read_record({"metadata": {"labels": {}}, "data": {"state": "succeeded", "rc": "0"}}).status


@pytest.mark.parametrize(
    ("data", "can_be_fetched", "exists", "why"),
    [
        (RECORD, False, True, ""),
        (RECORD, True, True, ""),
        (RECORD, True, False, "its artifact /host/d does not exist any more"),
        (RECORD | {"artifacts": "[]"}, False, True, "its artifact was not copied to /host/d"),
        (RECORD | {"artifacts": json.dumps([{"path": "/out/b", "dest": "/host/d", "target": None}])}, False, False, ""),
        (RECORD | {"artifacts": json.dumps([{"path": "/out/b", "dest": "/host/d", "target": "/host/d/b"}])}, False, True, ""),
        (
            RECORD | {"artifacts": json.dumps([{"path": "/out/b", "dest": "/host/d", "target": "/old/d"}])},
            False,
            True,
            "its artifact was not copied to /host/d",
        ),
        (RECORD | {"artifacts": json.dumps([{"path": ["/out/b"], "dest": "/host/d", "target": 5}])}, False, True, "its artifact was not copied to /host/d"),
        ({}, False, True, "the files that it left were lost before they were fetched"),
        ({}, True, True, ""),
        ({"results": "[", "artifacts": "5"}, False, True, "its artifact was not copied to /host/d"),
    ],
)
def test_a_task_runs_again_if_what_it_left_was_lost(data, can_be_fetched, exists, why):
    task = spec(**FILES)
    record = record_of(task, **data)
    assert (
        outputs.why_incomplete(task.options, record, can_be_fetched, lambda entry: "does not exist any more" if entry["target"] and not exists else "") == why
    )
    expected = ("create", why) if why else ("none", "it succeeded in an earlier run, according to its record")
    assert decide(task, None, record.status, record, None, why) == expected
    assert decide(spec(**FILES, rerun="never"), None, record.status, record, None, why)[0] == "none"


def test_a_task_without_files_loses_nothing():
    assert outputs.why_incomplete(spec(results={"a": {"termination_message": True}}).options, None, False) == ""


@pytest.mark.parametrize("text", ["\0" * 60_000, "\u00e9" * 30_000])
def test_results_are_as_large_as_their_record(text):
    texts = dict.fromkeys("abcd", text)
    try:
        outputs.check_total(texts)
    except PodwrightError as error:
        assert error.reason == "ResultTooLarge" and text[0] == "\0"
        return
    collected = SimpleNamespace(texts=texts, artifacts=[], problems=[])
    record = build_record(spec(), Status("succeeded", "Completed", "", 0), None, 1, Tail(), collected)
    assert len(record["data"]["results"].encode()) < 300_000 and read_record(record).results == texts
