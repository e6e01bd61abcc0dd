# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Jobs as AWX runs them: in ansible-runner, with a private data directory, as a user without a name or a home to write to, with the credential type's files."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from jinja2 import Environment

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import POD

from ..support.environment import KUBECONFIG, ROOT
from ..support.waiting import wait_for
from ..unit.test_awx import DATA

RUNNER = ROOT / ".venv/rulebook/bin"
GUIDE = ROOT / "docs/guides/awx.md"
UID = 12345
# Reads everything, since the interpreter may belong to another user, and writes only what is its own.
AS_ANYBODY = ["setpriv", f"--reuid={UID}", "--regid=0", "--clear-groups"]
AS_ANYBODY += [f"--{kind}=-all,+dac_read_search" for kind in ("inh-caps", "ambient-caps", "bounding-set")]
CANARY = "canary-c20ad4d76f"
VAULT_PASSWORD = "vault-aab3238922"
CANCEL = """
import ansible_runner, sys
seen = []
def keep(event):
    if "waiting for the end" in event.get("stdout", ""):
        seen.append(event)
run = ansible_runner.run(private_data_dir=sys.argv[1], playbook="job.yml", quiet=True, event_handler=keep, cancel_callback=lambda: bool(seen))
print(run.status)
"""


class Job:
    """A job of ansible-runner.

    Args:
        directory: for its files.
        task: options of `task_pod`.
    """

    def __init__(self, directory: Path, task: dict):
        self.directory = directory
        (directory / "home").mkdir(parents=True, mode=0o555)
        for name in ("project", "env", "inventory", "credentials"):
            (directory / name).mkdir()
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "vars_files": ["secrets.yml"],
            "tasks": [{"name": "Run the task", "podwright.core.task_pod": task}],
        }
        (directory / "project/job.yml").write_text(yaml.safe_dump([play], sort_keys=False))
        (directory / "project/secrets.yml").write_text(f"password: {CANARY}\n")
        (directory / "vault").write_text(VAULT_PASSWORD)
        command = [RUNNER / "ansible-vault", "encrypt", "--vault-password-file", directory / "vault", directory / "project/secrets.yml"]
        subprocess.run(command, check=True, capture_output=True, env={"PATH": os.environ["PATH"], "ANSIBLE_HOME": str(directory / "vault-home")})
        (directory / "vault").unlink()
        (directory / "inventory/hosts").write_text("localhost ansible_connection=local\n")
        (directory / "env/cmdline").write_text("--ask-vault-pass -vvv")
        (directory / "env/passwords").write_text(json.dumps({"Vault password": VAULT_PASSWORD}))
        (directory / "env/settings").write_text(json.dumps({"process_isolation": False, "suppress_env_files": True}))
        (directory / "env/envvars").write_text(json.dumps(self._inject() | {"ANSIBLE_HOME": str(directory / "ansible")}))
        for path in (directory, *directory.rglob("*")):
            if path.name != "home":
                os.chown(path, UID, 0)

    def _inject(self):
        """The variables of the credential type, as AWX renders them: files are written, inputs without a value are empty."""
        injectors = DATA["awx_credential_type"]["injectors"]

        def render(text, **values):
            return Environment(autoescape=False).from_string(text).render(**values)  # noqa: S701 - the text of a file

        content = render(injectors["file"]["template.kubeconfig"], kubeconfig=Path(KUBECONFIG).read_text())
        file = self.directory / "credentials/kubeconfig"
        file.write_text(content)
        return {name: render(text, tower={"filename": {"kubeconfig": str(file)}}) for name, text in injectors["env"].items()}

    def run(self, *command):
        """Run a command of the environment of ansible-runner as the user of the job. Returns: the finished process."""
        environment = {"PATH": f"{RUNNER}:/usr/bin:/bin", "HOME": str(self.directory / "home"), "LANG": "C.UTF-8"}
        as_user = AS_ANYBODY if os.geteuid() == 0 and shutil.which("setpriv") else []
        command = [*as_user, str(RUNNER / command[0]), *command[1:]]
        return subprocess.run(command, env=environment, cwd=self.directory, capture_output=True, text=True, check=False, timeout=120)

    @property
    def events(self):
        """The job events, in order."""
        files = (self.directory / "artifacts").glob("*/job_events/*.json")
        return sorted((json.loads(path.read_text()) for path in files if "partial" not in path.name), key=lambda event: event["counter"])


@pytest.fixture(autouse=True)
def environment():
    """The environment of ansible-runner."""
    if not (RUNNER / "ansible-runner").exists():
        pytest.fail("The environment of ansible-runner is missing: run make env.", pytrace=False)


def processes_in(directory):
    """The processes that run in a directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str((process / "cwd").readlink()).startswith(str(directory)):
                found.append(process.name)
        except OSError:
            pass
    return found


def task(namespace, name, script, **options):
    base = {"namespace": namespace, "name": name, "image": "busybox", "image_pull_policy": "IfNotPresent", "state": "completed", "logs": "stream"}
    return base | {"command": ["sh", "-c", script], "env": {"PASSWORD": "{{ password }}"}, "termination_grace_period": 0} | options


def test_jobs_show_what_tasks_print_and_no_secret_and_leave_nothing_if_they_are_cancelled(namespace, client, tmp_path):
    finishing = Job(tmp_path / "finishing", task(namespace, "short", 'echo line one; sleep 1; echo line two; test -n "$PASSWORD"'))
    cancelled = Job(tmp_path / "cancelled", task(namespace, "long", "echo waiting for the end; sleep 300", on_cancel="delete"))
    with ThreadPoolExecutor(2) as threads:
        both = threads.map(
            lambda run: run(), (lambda: finishing.run("ansible-runner", "run", str(finishing.directory), "-p", "job.yml"), lambda: stop(cancelled))
        )
        done, stopped = both
    assert done.returncode == 0, done.stdout + done.stderr
    assert stopped.stdout.split()[-1] == "canceled", stopped.stdout + stopped.stderr
    check_events(finishing)
    wait_for(lambda: not processes_in(tmp_path), 60)
    wait_for(lambda: client.get(POD, namespace, "long") is None, 60)
    assert client.get(POD, namespace, "short")
    # What was deleted is not asserted: ansible-runner reads for at most five seconds after it has killed ansible-playbook.
    assert "waiting for the end" in "".join(path.read_text() for path in (cancelled.directory / "artifacts").glob("*/stdout"))


def stop(job):
    return job.run("python", "-c", CANCEL, str(job.directory))


def check_events(job):
    """Check that the lines of the task are events before that of its result, and that no event contains a secret."""
    texts = [event["stdout"] for event in job.events]
    lines = [index for index, text in enumerate(texts) if "short | line" in text]
    finished = [index for index, event in enumerate(job.events) if event["event"] == "runner_on_ok"]
    assert len(lines) == 2 and lines[-1] < finished[-1], texts
    user = yaml.safe_load(Path(KUBECONFIG).read_text())["users"][0]["user"]
    secrets = [CANARY, VAULT_PASSWORD, *(user[name] for name in ("client-key-data", "token", "password") if name in user)]
    shown = json.dumps(job.events) + "".join(path.read_text() for path in (job.directory / "artifacts").glob("*/stdout"))
    assert [secret for secret in secrets if secret in shown] == []
    assert list((job.directory / "home").iterdir()) == []


@pytest.fixture
def context(tmp_path):
    """What ansible-builder builds the execution environment of the guide from."""
    definition = re.search(r"^```yaml execution-environment\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)[1]
    (tmp_path / "execution-environment.yml").write_text(definition)
    build(tmp_path, "create", "--context", "context", "--output-filename", "Containerfile")
    return tmp_path / "context"


def build(directory, *arguments):
    """Run ansible-builder. Returns: its output."""
    done = subprocess.run([RUNNER / "ansible-builder", *arguments], check=False, capture_output=True, text=True, cwd=directory)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_execution_environment_contains_the_collection_and_its_requirements(context, tmp_path):
    assert "podwright.core" in (context / "_build/requirements.yml").read_text()
    assert "RUN" in (context / "Containerfile").read_text()
    # What the build finds in the collection, as it is installed.
    (tmp_path / "ansible_collections/podwright").mkdir(parents=True)
    (tmp_path / "ansible_collections/podwright/core").symlink_to(ROOT)
    build(tmp_path, "introspect", "--write-pip", "found.txt", str(tmp_path))
    found, wanted = (
        {line.split("#")[0].strip().lower() for line in path.read_text().splitlines()} for path in (tmp_path / "found.txt", ROOT / "meta/ee-requirements.txt")
    )
    assert wanted <= found | {"", "pyyaml>=6"}  # which ansible-builder leaves out, since ansible-core requires it


@pytest.mark.long
def test_requirements_of_the_execution_environment_suffice(context, namespace, tmp_path):
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    packages = re.findall(r"package_pip: (\S+)", GUIDE.read_text())
    subprocess.run([venv / "bin/pip", "install", "--quiet", *packages, "-r", ROOT / "requirements.txt"], check=True)
    (tmp_path / "collections/ansible_collections/podwright").mkdir(parents=True)
    (tmp_path / "collections/ansible_collections/podwright/core").symlink_to(ROOT)
    environment = {
        "PATH": f"{venv}/bin:/usr/bin:/bin",
        "ANSIBLE_COLLECTIONS_PATH": str(tmp_path / "collections"),
        "KUBECONFIG": KUBECONFIG,
        "HOME": str(tmp_path),
    }
    command = ["ansible", "localhost", "-m", "podwright.core.pod_info", "-a", f"namespace={namespace}"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and '"api_found": true' in done.stdout, done.stdout + done.stderr
