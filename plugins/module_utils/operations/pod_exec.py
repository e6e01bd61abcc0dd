# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run a command in a pod's container and return how it ended."""

from __future__ import annotations

import shlex

from ..arguments import CONNECTION
from ..cluster.channel import describe_output, execute
from ..cluster.errors import PodwrightError
from ..cluster.kinds import POD
from ..operation import Operation
from ..pods.options import bad, check_variable
from ..pods.outcome import TaskVeil
from ..pods.status import TASK_CONTAINER

ARGUMENTS = {
    **CONNECTION,
    "pod": {"type": "str", "required": True},
    "container": {"type": "str"},
    "command": {"type": "raw", "required": True},
    "stdin": {"type": "str"},
    "env": {"type": "dict"},
    "chdir": {"type": "str"},
    "timeout": {"type": "float"},
    "check_rc": {"type": "bool", "default": True},
}


def run(task):
    """Run the command. Returns the result's fields; raises PodwrightError, also for an exit code other than 0 under check_rc."""
    params = task.params
    words = _read_command(params)
    if task.check_mode:
        return {"changed": True, "skipped": True, "msg": "Check mode: the command was not run."}
    pod, container = params["pod"], params["container"] or _choose_container(task)
    stdin = params["stdin"].encode() if params["stdin"] is not None else None
    ended = execute(task.client, task.namespace, pod, container, _prepare(words, params), stdin, params["timeout"])
    result = {"changed": True, "rc": ended.rc, "return_code": ended.rc, **describe_output(ended.stdout, ended.stderr)}
    if ended.rc and params["check_rc"]:
        last = (result["stderr"].strip() or result["stdout"].strip()).splitlines()[-5:]
        said = ":\n  " + "\n  ".join(last) if last else "."
        where = f"container '{container}' of pod '{pod}' in namespace '{task.namespace}'"
        missing = _explain_wrapper(ended.rc, params)
        raise PodwrightError(f"The command in {where} ended with exit code {ended.rc}{said}", reason="NonZeroExitCode", hint=missing, results=result)
    return result


def _read_command(params):
    command = params["command"]
    if isinstance(command, str):
        try:
            command = shlex.split(command)
        except ValueError as error:
            raise bad("command", f"it cannot be split into words: {error}.") from error
    if not isinstance(command, list) or not command:
        raise bad("command", "it is a string or a list of words, and not empty.")
    for name in params["env"] or {}:
        check_variable("env", name)
    return [str(word) for word in command]


def _prepare(words, params):
    """The command with its environment and folder: the exec API has neither, so `env` and `sh` of the image give them."""
    variables = [f"{name}={'' if value is None else value}" for name, value in (params["env"] or {}).items()]
    if variables:
        words = ["env", *variables, *words]
    if params["chdir"]:
        words = ["sh", "-c", 'cd "$0" && exec "$@"', params["chdir"], *words]
    return words


def _explain_wrapper(rc, params):
    if rc in (126, 127) and (params["env"] or params["chdir"]):
        return "The options env and chdir need the programs env and sh in the image."
    return ""


def _choose_container(task):
    """The pod's default container: the task's own, the one annotated as default, else the first. One GET, which also tells a missing pod."""
    pod = task.client.get(POD, task.namespace, task.params["pod"])
    if pod is None:
        raise PodwrightError(
            f"There is no pod '{task.params['pod']}' in namespace '{task.namespace}'.", status=404, reason="NotFound", hint="Check pod and namespace."
        )
    names = [container["name"] for container in pod["spec"]["containers"]]
    annotated = (pod["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container")
    return next((name for name in (TASK_CONTAINER, annotated) if name in names), names[0])


def redact(params):
    """The parameters as they may be shown: no standard input, no value of an environment variable."""
    veil = TaskVeil()
    shown = dict(params)
    if shown.get("env"):
        shown["env"] = {name: veil.digest(value) for name, value in shown["env"].items()}
    if shown.get("stdin") is not None:
        shown["stdin"] = f"{len(shown['stdin'].encode())} bytes, {veil.digest(shown['stdin'])}"
    return shown


OPERATION = Operation("pod_exec", ARGUMENTS, run, redact=redact)
