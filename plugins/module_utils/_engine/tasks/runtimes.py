# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What runs the tasks: Kubernetes, or Podman on the host on which this process runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from ..cluster.request import ANYTHING, Request
from ..errors import BAD_CERTIFICATE, PodwrightError

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..console import Console
    from ..values import Options, Result
    from .task_spec import TaskSpec

AUTO, KUBERNETES, PODMAN = "auto", "kubernetes", "podman"
RUNTIMES = (AUTO, KUBERNETES, PODMAN)
PROBES = 2  # of a cluster before it counts as one that cannot be used
_PAUSE = 1.0  # seconds until a server that reported a fault of its own is asked again
# A mistake in the configuration of a cluster does not let tasks run elsewhere.
_MISTAKES = ("BadOption", "BadConfiguration", BAD_CERTIFICATE, "ExecPlugin", "MissingLibrary")


class Runtime(NamedTuple):
    """What runs the tasks.

    Attributes:
        name: KUBERNETES or PODMAN.
        reason: why it was chosen, as a sentence.
        client: the Client of Podman, or None.
        is_fallback: whether the cluster was preferred.
    """

    name: str
    reason: str
    client: Client | None = None
    is_fallback: bool = False

    def describe(self) -> Result:
        """The field `runtime` of the result."""
        return {"runtime": {"name": self.name, "reason": self.reason}}

    def admit(self, spec: TaskSpec) -> None:
        """Check that it can run a task. Raises: PodwrightError that names the option that it lacks."""
        if self.client:
            from .podman_support import check_support

            check_support(spec, self.reason if self.is_fallback else "")


CLUSTER = Runtime(KUBERNETES, "It was requested.")


def choose_runtime(params: Options, client: Callable[[], Client], use: Callable[[Client], None], console: Console) -> Runtime:
    """The runtime that the option `runtime` asks for; AUTO means Kubernetes if a cluster is configured and responds, else Podman with a warning.

    Args:
        client: opens the connection to the cluster; raises PodwrightError.
        use: is called with the Client of another runtime.

    Raises: PodwrightError if there is none.
    """
    wanted = params["runtime"]
    if wanted == KUBERNETES:
        return CLUSTER
    missing = why_unusable(client) if wanted == AUTO else None
    if wanted == AUTO and missing is None:
        return Runtime(KUBERNETES, "A cluster is configured and responds.")
    try:
        podman = _podman(params["wait_timeout"])
    except PodwrightError as error:
        if not missing:
            raise
        raise PodwrightError(f"Neither Kubernetes nor Podman can run the tasks. {missing} {error.message}", reason="NoRuntime", hint=error.hint) from None
    use(podman)
    if missing:
        console.warn(f"The tasks run on {podman.configuration.server}. No cluster can be used: {missing}")
    return Runtime(PODMAN, f"No cluster can be used: {missing}" if missing else "It was requested.", podman, is_fallback=bool(missing))


def why_unusable(client: Callable[[], Client]) -> str | None:
    """Why no cluster can be used, as a sentence, or None: whatever a server responds, it is there, unless it is a fault of its own (5xx).

    Raises: PodwrightError if the configuration of the cluster is wrong.
    """
    for left in reversed(range(PROBES)):
        try:
            client().fetch(Request("GET", "/version", accept=ANYTHING, retryable=False))
            return None
        except PodwrightError as error:
            if error.reason in _MISTAKES:
                raise
            if error.status is not None and error.status < 500:
                return None
            problem = error
        if left and problem.status:
            client().clock.sleep(_PAUSE)
    return problem.message if problem.message.endswith(".") else f"{problem.message}."


def _podman(wait_timeout: float) -> Client:
    from ..podman.client import PodmanClient
    from ..podman.program import Program

    return PodmanClient(Program(), wait_timeout)
