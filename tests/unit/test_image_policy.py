# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The option image_policy: what refuses an image, and what is an invalid policy."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.image_policy.policy import ImagePolicy
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.image_check import check_images
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.pod_template import build_manifest
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.tracing import add_context

from ..support.image_references import INVALID, REFERENCES, SHA256
from ..support.scans import CRITICAL, IMAGE, public_pem, sarif, signature, trivy
from ..support.waiting import wait_for
from .task_specs import spec as task_spec

OTHER = f"sha256:{'b' * 64}"


def refusal(image, **options):
    return ImagePolicy(options).refusal(image)


@pytest.fixture
def judge(tmp_path):
    """A function that judges an image by reports: mappings, written to files."""

    def run(*reports, image=IMAGE, **options):
        paths = [tmp_path / f"{index}.json" for index in range(len(reports))]
        for path, report in zip(paths, reports):
            path.write_text(report if isinstance(report, str) else json.dumps(report), encoding="utf-8")
        return refusal(image, reports=list(map(str, paths)), **options)

    return run


# -- names ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", INVALID)
def test_what_is_no_reference_is_refused_by_every_rule(text):
    assert refusal(text, registries=["docker.io"]) and refusal(text, require_digest=True)


@pytest.mark.parametrize("text", REFERENCES)
def test_registries_and_digests(text):
    repository, is_fixed = REFERENCES[text]
    assert not refusal(text, registries=["example.com", repository])
    assert f"its repository {repository} is not in registries" in refusal(text, registries=["example.com", f"{repository}x"])
    assert bool(refusal(text, require_digest=True)) != is_fixed


# -- reports --------------------------------------------------------------------------------------------------


def test_a_report_without_findings_allows_its_image(judge):
    assert judge(trivy()) == "" and judge(trivy(Results=None)) == "" and judge(sarif()) == ""


def test_a_report_of_another_image_or_digest_does_not_count(judge):
    about = f"none of the reports is about {SHA256}"
    other = f"registry.example.com/team/app@{OTHER}"
    assert about in judge(trivy(name=other, digests=[other]))
    assert about in judge(trivy(name="registry.example.com/team/app:1", digests=[]))  # of whatever the tag meant
    assert about in judge(sarif(name=other, digests=[other])) and about in judge(sarif(properties={}))
    assert "they are about sha256:bbb" in judge(trivy(name=other, digests=[other]))
    assert "they are about no image" in judge(sarif(properties=None))


def test_an_image_without_a_digest_is_found_by_its_tag(judge):
    report = trivy(name="busybox:1.36", digests=[])
    assert judge(report, image="docker.io/library/busybox:1.36") == ""
    assert "none of the reports is about docker.io/library/busybox:latest" in judge(report, image="busybox")
    assert judge(trivy(name="x.tar", tags=["busybox"], digests=[]), image="busybox") == ""


def test_findings_refuse_by_severity(judge):
    found = "contains CVE-2024-0001 (CRITICAL, openssl)"
    assert found in judge(trivy(CRITICAL)) and found in judge(trivy(), trivy(CRITICAL))
    assert "HIGH" in judge(trivy(CRITICAL | {"Severity": "HIGH"}))
    assert judge(trivy(CRITICAL | {"Severity": "MEDIUM"})) == "" and judge(trivy(CRITICAL), severities=["LOW"]) == ""
    assert "(UNKNOWN, openssl)" in judge(trivy({name: CRITICAL[name] for name in ("VulnerabilityID", "PkgName")}), severities=["UNKNOWN"])
    many = [CRITICAL | {"VulnerabilityID": f"CVE-{number}"} for number in range(9)]
    assert judge(trivy(*many, *many)).endswith("CVE-4 (CRITICAL, openssl) and 4 more")


def test_findings_can_be_ignored(judge):
    assert judge(trivy(CRITICAL), ignore=["CVE-2024-0001"]) == "" and judge(trivy(CRITICAL), ignore=["CVE-2024-000"])
    unfixed = CRITICAL | {"FixedVersion": ""}
    assert judge(trivy(unfixed), ignore_unfixed=True) == "" and judge(trivy(unfixed)) and judge(trivy(CRITICAL), ignore_unfixed=True)


@pytest.mark.parametrize(
    "result",
    [
        {"Secrets": [{"RuleID": "aws-key", "Severity": "CRITICAL"}]},
        {"Misconfigurations": [{"ID": "DS002", "Severity": "HIGH", "Status": "FAIL"}]},
        {"Licenses": [{"Name": "AGPL-3.0", "PkgName": "x", "Severity": "HIGH"}]},
    ],
)
def test_every_class_of_finding_counts(judge, result):
    assert "contains" in judge(trivy(Results=[{"Target": "t"} | result]), ignore_unfixed=True)


def test_a_check_that_passed_is_not_a_finding(judge):
    assert judge(trivy(Results=[{"Target": "t", "Misconfigurations": [{"ID": "DS002", "Severity": "HIGH", "Status": "PASS"}]}])) == ""


RULE = {"id": "CVE-1", "properties": {"tags": ["vulnerability", "security", "HIGH"], "security-severity": "2.0"}}
SCORED = {"id": "CVE-1", "properties": {"security-severity": "9.8"}}


@pytest.mark.parametrize(
    ("result", "rules", "severity"),
    [
        ({"ruleId": "CVE-1", "ruleIndex": 0}, [RULE], "HIGH"),
        ({"ruleId": "CVE-1"}, [{"id": "x"}, RULE], "HIGH"),
        ({"rule": {"index": 1}}, [{"id": "x"}, RULE], "HIGH"),
        ({"ruleId": "CVE-1", "level": "note"}, [SCORED], "CRITICAL"),
        ({"ruleId": "CVE-1"}, [SCORED | {"properties": {"security-severity": "7.0"}}], "HIGH"),
        ({"ruleId": "CVE-1"}, [SCORED | {"properties": {"security-severity": 0}}], "UNKNOWN"),
        ({"ruleId": "CVE-1"}, [{"id": "CVE-1", "defaultConfiguration": {"level": "error"}}], "CRITICAL"),
        ({"ruleId": "CVE-1", "level": "error"}, [], "CRITICAL"),
        ({"ruleId": "CVE-1"}, [], "MEDIUM"),
        ({"ruleId": "CVE-1", "level": "none", "kind": "open"}, [], "UNKNOWN"),
        ({"ruleId": "CVE-1/sub/1", "level": "note"}, [{"id": "CVE"}, RULE], "HIGH"),
        ({"ruleId": "CVE-1/sub/1", "level": "note"}, [RULE, RULE | {"id": "CVE-1/sub", "properties": {"tags": ["LOW"]}}], "LOW"),
        ({"ruleId": "CVE-1", "rule": {"guid": "g"}, "level": "note"}, [RULE, SCORED | {"guid": "g"}], "CRITICAL"),
        ({"ruleId": "CVE-1", "suppressions": [{"status": "rejected"}], "level": "error"}, [], "CRITICAL"),
    ],
)
def test_severity_of_a_result_in_sarif(judge, result, rules, severity):
    others = [word for word in ("UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL") if word != severity]
    assert f"{result.get('ruleId', 'CVE-1')} ({severity})" in judge(sarif(result, rules=rules), severities=[severity])
    assert judge(sarif(result, rules=rules), severities=others) == ""


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"index": 1, "toolComponent": {"index": 1}},
        {"index": 1, "toolComponent": {"name": "pack"}},
        {"id": "CVE-1", "toolComponent": {"guid": "g"}},
        {"id": "CVE-1/sub", "toolComponent": {"index": 1}},
        {"guid": "r"},
    ],
)
def test_rules_of_extensions_in_sarif(judge, rule):
    rules = [{"id": "CVE-2", "defaultConfiguration": {"level": "note"}}, SCORED | {"guid": "r"}]
    tool = {"driver": {"name": "scanner"}, "extensions": [{"name": "other", "rules": rules[:1]}, {"name": "pack", "guid": "g", "rules": rules}]}
    assert "CVE-1 (CRITICAL)" in judge(sarif({"ruleId": "CVE-1", "rule": rule}, tool=tool), severities=["CRITICAL"])


@pytest.mark.parametrize("fields", [{"kind": "pass"}, {"baselineState": "absent"}, {"suppressions": [{"kind": "external"}]}, {"kind": "informational"}])
def test_results_in_sarif_that_are_not_findings(judge, fields):
    assert judge(sarif({"ruleId": "CVE-1", "level": "error"} | fields)) == ""


def stamp(age):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - age))


def test_old_reports_do_not_count(judge):
    old, fresh = trivy(CreatedAt=stamp(7200)), trivy(CreatedAt=stamp(60))
    assert judge(old) == "" and judge(old, max_age=86400) == "" and judge(fresh, max_age=3600) == ""
    assert "s old, more than max_age (3600)" in judge(old, max_age=3600)
    assert judge(trivy(CRITICAL, CreatedAt=stamp(7200)), fresh, max_age=3600) == ""
    assert "contains CVE" in judge(old, trivy(CRITICAL, CreatedAt=stamp(60)), max_age=3600)
    assert "has no date" in judge(trivy(CreatedAt=None), max_age=3600) and "has no date" in judge(sarif(), max_age=3600)
    assert "in the future" in judge(trivy(CreatedAt=stamp(-7200)), max_age=3600)
    scanned = sarif(invocations=[{"executionSuccessful": True, "endTimeUtc": stamp(60)}])
    assert judge(scanned, max_age=3600) == "" and "old" in judge(scanned, max_age=5)


BROKEN = [
    "", "[]", "null", "{", "[" * 100_000, "{}", '{"runs": 1}', trivy(SchemaVersion=1), trivy(ArtifactType="filesystem"), trivy(Results=5), trivy(Metadata=[1]),
    trivy(CRITICAL | {"Severity": "BAD"}), trivy(CRITICAL | {"Severity": 5}), trivy({"Severity": "LOW"}), trivy("x"), trivy(CreatedAt="yesterday"),
    trivy(CreatedAt=5), sarif() | {"version": "2.0.0"}, sarif(results=None), sarif(invocations=[{"executionSuccessful": False}]), sarif(invocations=[{}]),
    sarif(externalPropertyFileReferences={"results": [{}]}), sarif({"level": "fatal"}), sarif({"ruleIndex": 9}), sarif({"ruleIndex": "0"}), sarif("x"),
    sarif({"ruleIndex": 0}, rules=[{"properties": {"security-severity": "high"}}]), sarif(externalPropertyFileReferences={"driver": {}}),
    *(sarif({"ruleId": "a", "rule": rule}, rules=[{"id": "b"}]) for rule in ({"guid": "g"}, {"toolComponent": {"name": "x"}}, {"toolComponent": {"index": 0}})),
    sarif({"ruleId": "a", "rule": {"toolComponent": {"name": "Trivy"}}}, rules=[{"id": "b"}]),
]  # fmt: skip


@pytest.mark.parametrize("report", BROKEN, ids=lambda report: str(report)[:40])
def test_a_file_that_is_no_report_is_an_error_that_names_it(judge, report):
    with pytest.raises(PodwrightError, match=r"(?s)image_policy.reports\[0\]: must be a JSON report.*0\.json.*Create it with") as caught:
        judge(report)
    assert caught.value.reason == "BadOption" and "Traceback" not in str(caught.value)


def test_a_directory_of_reports(tmp_path):
    (tmp_path / "a.json").write_text("\ufeff" + json.dumps(trivy()), encoding="utf-8")
    (tmp_path / "b.sarif").write_text(json.dumps(sarif({"ruleId": "CVE-9", "level": "error"})))
    (tmp_path / "notes.txt").write_text("x")
    assert "b.sarif contains CVE-9 (CRITICAL)" in refusal(IMAGE, reports=[str(tmp_path)])
    (tmp_path / "c").mkdir()
    with pytest.raises(PodwrightError, match="has no file"):
        refusal(IMAGE, reports=[str(tmp_path / "c")])
    os.mkfifo(tmp_path / "c/x.json")
    with pytest.raises(PodwrightError, match=r"c/x\.json is not a regular file"):
        refusal(IMAGE, reports=[str(tmp_path / "c")])
    (tmp_path / "c/x.json").unlink()
    with pytest.raises(PodwrightError, match="cannot: No such file or directory"):
        refusal(IMAGE, reports=[str(tmp_path / "none.json")])
    with pytest.raises(PodwrightError, match="cannot: its name is invalid"):
        refusal(IMAGE, reports=["a\0b"])
    with pytest.raises(PodwrightError, match=r"public_keys\[0\]: must be a file that can be read.*its name is invalid"):
        refusal(IMAGE, public_keys=["a\0b"], signatures=["x"])
    (tmp_path / "c/dangling.json").symlink_to("nowhere")
    with pytest.raises(PodwrightError, match=r"dangling\.json cannot: No such file or directory"):
        refusal(IMAGE, reports=[str(tmp_path / "c")])


# -- signatures -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keys():
    """(private key, how it signs) by type."""
    curve, wide, old, short = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048), None
    short = ed25519.Ed25519PrivateKey.generate()
    return {
        "p256": (curve, lambda data: curve.sign(data, ec.ECDSA(hashes.SHA256()))),
        "p384": (wide, lambda data: wide.sign(data, ec.ECDSA(hashes.SHA384()))),
        "rsa": (old, lambda data: old.sign(data, padding.PKCS1v15(), hashes.SHA256())),
        "ed25519": (short, short.sign),
    }


@pytest.fixture
def verify(tmp_path):
    def run(key, *lines, image=IMAGE):
        (tmp_path / "cosign.pub").write_bytes(key if isinstance(key, bytes) else public_pem(key))
        (tmp_path / "signatures").write_text("\n".join(lines))
        return refusal(image, public_keys=[str(tmp_path / "cosign.pub")], signatures=[str(tmp_path / "signatures")])

    return run


@pytest.mark.parametrize("name", ["p256", "p384", "rsa", "ed25519"])
def test_a_signature_by_the_key_allows_the_digest(keys, verify, name):
    key, sign = keys[name]
    assert verify(key, signature(key, sign=sign)) == ""
    assert "none of the signatures" in verify(key, signature(key, OTHER, sign=sign))


def test_other_signatures_do_not_count(keys, verify):
    key, other = keys["p256"][0], ec.generate_private_key(ec.SECP256R1())
    assert "none of the signatures" in verify(key, signature(other)) and verify(key, signature(other), "", signature(key)) == ""
    assert "none of the signatures" in verify(key, signature(key, kind="atomic container signature"))
    mixed = json.loads(signature(key, OTHER)) | {"Payload": json.loads(signature(key))["Payload"]}
    assert "none of the signatures" in verify(key, json.dumps(mixed))
    assert "has no digest" in verify(key, signature(key), image="registry.example.com/team/app:1")


def test_files_that_are_no_keys_or_signatures(keys, verify):
    key = keys["p256"][0]
    for line in ("x", "{}", "[]", '{"Base64Signature": "*", "Payload": ""}', '{"Base64Signature": null, "Payload": ""}', "[" * 100_000):
        with pytest.raises(PodwrightError, match=r"signatures\[0\]: must be lines of JSON"):
            verify(key, line)
    for pem in (b"", b"x", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"):
        with pytest.raises(PodwrightError, match=r"public_keys\[0\]: must be a public key in PEM"):
            verify(pem, signature(key))


# -- commands -------------------------------------------------------------------------------------------------


def command(script, *arguments):
    return [sys.executable, "-c", script, *arguments]


def test_a_command_gets_the_image_and_its_exit_code_decides():
    check = "import sys; print(f'checked \\x1b[31m{sys.argv[1:]}'); sys.exit(sys.argv[2] != 'good')"
    assert refusal("good", command=command(check, "--strict")) == ""
    assert "exited with code 1: checked ['--strict', 'busy; $(x)']" not in refusal("bad", command=command(check, "--strict"))
    assert refusal("bad", command=command(check, "--strict")).endswith("exited with code 1: checked ['--strict', 'bad']")
    assert "was terminated by signal 9" in refusal("a", command=command("import os; os.kill(os.getpid(), 9)"))
    assert len(refusal("a", command=command("print('x' * 10**7); raise SystemExit(3)"))) < 1200


def test_a_command_has_a_timeout_with_all_that_it_started(tmp_path):
    pid = tmp_path / "pid"
    script = f"import subprocess, time; child = subprocess.Popen(['sleep', '60']); open({str(pid)!r}, 'w').write(str(child.pid)); time.sleep(60)"
    started = time.monotonic()
    assert "did not exit within 1 s" in refusal("a", command=command(script), command_timeout=1)
    assert time.monotonic() - started < 30
    wait_for(lambda: not Path(f"/proc/{pid.read_text()}/cwd").exists(), 10)  # it is killed, and reaped by another process


def test_a_command_that_cannot_be_started_is_an_error():
    with pytest.raises(PodwrightError, match="command: must be a command that can be started, but '/nothing' cannot: No such file"):
        refusal("a", command=["/nothing"])


# -- the option -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "image_policy: must set at least one of registries"),
        ({"require_digest": False}, "must set at least one of"),
        ({"registries": []}, "image_policy.registries: must not be empty."),
        ({"registries": ["a.b", "busybox"]}, r"image_policy.registries\[1\]: must be HOST"),
        ({"registries": ["a.b"], "max_age": 5}, "image_policy.max_age: requires image_policy.reports"),
        ({"registries": ["a.b"], "severities": ["LOW"]}, "image_policy.severities: requires image_policy.reports"),
        ({"registries": ["a.b"], "ignore_unfixed": False}, "image_policy.ignore_unfixed: requires image_policy.reports"),
        ({"public_keys": ["a"]}, "image_policy.public_keys: requires image_policy.signatures"),
        ({"registries": ["a.b"], "signatures": ["a"]}, "image_policy.signatures: requires image_policy.public_keys"),
        ({"registries": ["a.b"], "command_timeout": 5}, "image_policy.command_timeout: requires image_policy.command"),
    ],
)
def test_invalid_policies(options, message):
    with pytest.raises(PodwrightError, match=message) as caught:
        ImagePolicy(options)
    assert caught.value.reason == "BadOption"


def test_every_container_of_every_task_is_checked():
    bad = {"name": "extra", "image": "evil.example/x"}
    policy = {"registries": ["docker.io/library"]}
    volume = {"spec": {"volumes": [{"name": "data", "image": {"reference": "evil.example/v"}}]}}
    patch = [{"op": "replace", "path": "/spec/containers/0/image", "value": "evil.example/p"}]
    specs = [
        task_spec(name="a", image="evil.example/a"),
        task_spec(name="b", image="busybox", containers=[bad]),
        task_spec(name="c", image="busybox", init_containers=[bad], kind="Job"),
        task_spec(name="d", image="busybox", definition=volume),
        task_spec(name="e", image="busybox", patches=patch),
        task_spec(name="f", image="busybox", inputs=[{"path": "/x", "content": "x"}], helper_image="evil.example/h"),
        task_spec(name="g", image="busybox"),
    ]
    with pytest.raises(PodwrightError) as caught:
        check_images(policy, specs)
    lines = caught.value.message.splitlines()
    assert caught.value.reason == "ImageRefused" and "'g'" not in caught.value.message
    for line, user, image in zip(
        lines,
        ["container 'task' of task 'a'", "container 'extra' of task 'b'", "container 'extra' of task 'c'", "volume 'data' of task 'd'"]
        + ["container 'task' of task 'e'", "container 'podwright-inputs' of task 'f'"],
        "axxvph",
        strict=True,
    ):
        assert line.startswith(f"The image 'evil.example/{image}' of {user} is refused by image_policy: its repository"), line
    check_images(policy, specs[-1:])
    check_images(None, specs)


@pytest.mark.parametrize("path", ["/spec/template", "/spec/template/spec", "/spec/template/spec/containers"])
def test_a_job_without_containers_is_left_to_the_api_server(path):
    spec = task_spec(name="a", image="busybox", kind="Job", patches=[{"op": "remove", "path": path}])
    check_images({"registries": ["a.b"]}, [spec])
    manifest = build_manifest(spec, "baseline")
    assert add_context(manifest, "00-1-2-01") == manifest


def test_an_image_is_judged_once(tmp_path):
    count = tmp_path / "count"
    policy = {"command": command(f"open({str(count)!r}, 'a').write('x')")}
    check_images(policy, [task_spec(name=name, image="busybox") for name in "abc"])
    assert count.read_text() == "x"
