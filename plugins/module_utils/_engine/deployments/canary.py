# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The strategy canary: a new generation receives a growing share of the traffic, and each step is judged by measurements."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..cluster.kinds import POD, SERVICE
from ..errors import PodwrightError, option_error
from ..objects.labels import DEPLOYMENT, GENERATION, STEP, STEP_SINCE, annotation_of, number_of
from ..objects.pod_status import is_serving
from ..reconciler.manifest import key_of
from ..reconciler.wait import wait_until_deleted
from ..text import parse_number
from .analysis import FAILURE, INCONCLUSIVE
from .deployer import DEPLOYMENT_KIND, ROUTE
from .generations import Generations
from .manifests import build_route, build_service, canary_replicas
from .services import moved_target, ports_of
from .traffic import remove_route_split

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..cluster.client import Client
    from ..console import Console
    from ..tasks.task_spec import TaskSpec
    from ..values import Manifest, Options
    from .analysis import Measurement

    Measure = Callable[[Options, Callable[[], str], float], Measurement]


class Canary(Generations):
    """A new generation beside the active one, with a growing share of the traffic.

    Args:
        measure: takes a measurement: called with an entry of `canary.analysis` and a function that returns the name of a ready canary pod.
    """

    def __init__(self, client: Client, namespace: str, params: Options, console: Console, check_mode: bool, measure: Measure) -> None:
        super().__init__(client, namespace, params, console, check_mode)
        self._options: Options = params["canary"] or {}
        self._steps: list[Options] = self._options.get("steps") or []
        self._measure = measure

    def introduce(self, spec: TaskSpec, generation: str, pauses: bool) -> None:
        """Take the steps that are left, then replace the active generation. Raises: PodwrightError."""
        if not self.choose_replicas(self.active):
            self._steps = []  # nothing receives traffic
        if self._options.get("route"):
            self._build_split(generation, 1)  # refused before the first write, if it is
        elif self._steps:
            self._check_target()
        done = (number_of(self.deployments[generation], STEP) if generation in self.deployments else None) or 0
        if self.preview and self.preview != generation:
            self._delete_preview(self.deployments[self.preview])
        for number, step in enumerate(self._steps, 1):
            stays = pauses or step["pause"] is True
            if number <= done:
                continue
            if self.check_mode and not stays:
                continue  # the plan shows the end of the rollout, and no steps
            self.apply_generation(spec, generation, canary_replicas(self.choose_replicas(self.active), step["weight"]))
            self._split_traffic(generation, step["weight"])
            if stays:
                return
            self._take_step(generation, number, step)
            if self.active == generation:
                break  # another run has promoted it
        if pauses and self._steps:
            return
        self.apply_generation(spec, generation, self.choose_replicas(self.active))
        if not pauses:
            self.switch(generation)
            if self.check_mode and done < len(self._steps):
                self._foresee_route(self._steps[-1]["weight"])

    def _check_target(self) -> None:
        """Check that one Service can lead to the pods of both versions. Raises: PodwrightError."""
        desired = build_service(self.params, {})
        if self.service and desired and (target := moved_target(self.service, desired, self.params)):
            hint = "Name the port of the container and set target_port to that name, or set canary.route, or set strategy to blue_green."
            raise option_error("service.ports", f"one Service cannot lead to the pods of both versions: {target}.", hint)

    def _build_stable(self, selector: dict[str, str]) -> Manifest | None:
        """The Service while there is a canary: it keeps the ports of the active generation."""
        service = build_service(self.params, selector, self.active)
        if service and self.service and (ports := ports_of(self.service)):
            service["spec"]["ports"] = ports
        return service

    def _delete_preview(self, item: Manifest) -> None:
        """Delete another canary with its pods, before the Service selects the pods of all generations. Raises: PodwrightError."""
        self.delete(item, "it is not in service", "Foreground")
        if not self.check_mode:
            wait_until_deleted(self.client, {key_of(item, DEPLOYMENT_KIND): (DEPLOYMENT_KIND, item)}, self.wait_timeout, self.console)
            self.observe()

    def _split_traffic(self, generation: str, weight: int) -> None:
        """Give a generation a share of the traffic in percent: by a route, or by the number of its pods. Raises: PodwrightError."""
        if self._options.get("route"):
            self.apply(*self._build_split(generation, weight), wait=False)
        else:
            remove_route_split(self)
            # The Service will select the pods of all generations, so that the others must have none.
            self.wait(self.scale_to_zero(other for other in self.deployments if other not in (generation, self.active)))
            self.apply(self._build_stable({DEPLOYMENT: self.name}), wait=False)
        self.observe_changes()
        self.check_rollout(generation, 1)

    def _build_split(self, generation: str, weight: int) -> list[Manifest | None]:
        """The Services of both generations, and the route that splits the traffic between them. Raises: PodwrightError if one belongs to somebody else."""
        kind = self.client.kinds.find_served(*ROUTE)
        service = self._build_stable(self._selector_of(self.active or generation))
        canary = build_service(self.params, {DEPLOYMENT: self.name, GENERATION: generation}, canary=generation)
        if not service:
            return []
        route = build_route(kind, self.params, service, canary, weight)
        self.check_owner(SERVICE, canary)
        self.check_owner(kind, route)
        return [service, canary, route]

    def _foresee_route(self, weight: int) -> None:
        """In check mode: apply the route as the rollout leaves it. Raises: PodwrightError."""
        service = build_service(self.params, {})
        if self._options.get("route") and service:
            self.apply(build_route(self.client.kinds.find_served(*ROUTE), self.params, service, None, weight), wait=False)

    def _take_step(self, generation: str, number: int, step: Options) -> None:
        """Wait for the duration of a step and judge it. Raises: PodwrightError if the analysis fails or is inconclusive."""
        self._wait_for_step(generation, number, step)
        for entry in self._options.get("analysis") or []:
            measurement = self._measure(entry, lambda: self._choose_pod(generation), self.wait_timeout)
            self.analysis.append({"step": number, "weight": step["weight"], **measurement})
            if measurement["outcome"] == FAILURE:
                error = self._analysis_error(measurement, number, "failed", "", "Correct the new version, and run the task again.")
                self.return_after(error, self._remove_canary)
                raise error
            if measurement["outcome"] == INCONCLUSIVE:
                consequence = "The canary keeps its share of the traffic."
                hint = "Run the task again to repeat the measurement, or set state to promoted or aborted."
                raise self._analysis_error(measurement, number, "is inconclusive", consequence, hint)
        self.annotate(generation, {STEP: str(number), STEP_SINCE: None})
        self.observe_changes()

    def _remove_canary(self) -> str:
        self.abort()
        return f"The canary was deleted; generation {self.active} stays in service."

    def _wait_for_step(self, generation: str, number: int, step: Options) -> None:
        """Wait until the duration of a step has passed since its start, which may be in an earlier run."""
        started_step, _at, started_text = (annotation_of(self.deployments[generation], STEP_SINCE) or "").partition("@")
        started_at = parse_number(started_text)
        if started_step != str(number) or started_at is None:
            started_at = self.client.now()
            self.annotate(generation, {STEP_SINCE: f"{number}@{started_at:.3f}"})
        end = min(started_at, self.client.now()) + float(step["pause"] or 0)
        while (left := end - self.client.now()) > 0:
            self.console.progress(f"{self.name}: step {number} of {len(self._steps)}, {step['weight']} % of the traffic, {left:.0f} s left")
            self.client.clock.sleep(min(left, 1))

    def _choose_pod(self, generation: str) -> str:
        selector = f"{DEPLOYMENT}={self.name},{GENERATION}={generation}"
        pods = [pod for pod in self.client.list(POD, self.namespace, label_selector=selector)[0] if is_serving(pod)]
        if not pods:
            raise self.missing(f"has no ready pod of generation {generation}")
        return str(pods[0]["metadata"]["name"])

    def _analysis_error(self, measurement: Measurement, number: int, verdict: str, consequence: str, hint: str) -> PodwrightError:
        found = "has no value" if measurement["value"] is None else f"returned {measurement['value']}"
        found += f": {measurement['message'].rstrip('.')}" if measurement["message"] else ""
        message = f"The analysis of step {number} of deployment '{self.name}' {verdict}: {measurement['what']} {found}. {consequence}".rstrip()
        return PodwrightError(message, reason="Analysis", hint=hint)
