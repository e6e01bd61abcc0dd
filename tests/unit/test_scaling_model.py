# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""pod_autoscale in a simulated cluster: one autoscaler for an object, nothing of others is changed, and nothing is scaled by a guess."""

from __future__ import annotations

import copy
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.labels import LAST_SCALED, MANAGED, annotation_of
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.pod_status import is_serving
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation, attempt
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_autoscale
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler import executor, observation, wait

from ..support.environment import scaled
from ..support.traces import shown_on_failure
from .fake_cluster import Killed
from .model_rollouts import NAMESPACE, RolloutWatcher, labels_of
from .model_scaling import (
    API_VERSIONS,
    BROKEN_SAMPLES,
    HPA,
    KEDA,
    ODD_USAGE,
    SCALABLE,
    SCALED_OBJECT,
    ScalingCluster,
    odd_samples,
    replicas_of,
    scales_directly,
)

EXAMPLES = scaled(120)
REFUSALS = ("BadOption", "NotScalable", "Autoscaled", "NotFound", "NoMetrics", "NoKeda", "BadQuery", "NoPrometheus", "UnknownKind")
TARGETS = [("Deployment", "web")] * 8 + [("StatefulSet", "web"), ("Deployment", "api"), ("Job", "web"), ("DaemonSet", "web"), ("ConfigMap", "web")]
TARGETS += [("Cluster", "web"), ("Deployment", "none"), ("Pod", "")]


class Session:
    """Runs of pod_autoscale in a ScalingCluster, each checked."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.cluster = ScalingCluster(self.rng)
        self.console = Console()

    def perform(self, params, check_mode=False):
        """One run. Returns: (result, error or None); a result of None if it was killed."""
        cluster = self.cluster
        full = {name: entry.get("default") for name, entry in pod_autoscale.ARGUMENTS.items()} | {"namespace": NAMESPACE, "wait_timeout": 30} | params
        cluster.is_dead = False
        since, start = len(cluster.history), len(cluster.trace)
        cluster.trace.append(f"--- {'check' if check_mode else 'run'} {params}")
        cluster.kinds.__init__(cluster._discover)  # another process
        self.console = Console()
        began = cluster.clock.time
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(wait, "Watcher", RolloutWatcher)
            for module in (executor, observation):
                patch.setattr(module, "call_in_threads", lambda function, items, _threads: list(map(function, items)))
            try:
                result, error = attempt(pod_autoscale.OPERATION, Invocation(full, check_mode, False, self.console, cluster))
            except Killed:
                result, error = None, None
        cluster.is_dead = False
        written = cluster.history[since:]
        plan = [(step["action"], step["kind"], step["name"], step.get("note")) for step in (result or {}).get("plan", [])]
        cluster.trace.append("--- killed" if result is None else f"--- {error!r} {error and error.reason} {plan} {result.get('replicas')}")
        assert not cluster.violations, cluster.violations
        assert error is None or error.reason != "Unforeseen", str(error)
        assert cluster.clock.time - began < 100, "it took too long"
        if check_mode:
            assert not written, "check mode wrote"
        elif result is not None:
            sure = {(key[0], key[2]) for _verb, key, is_certain in written if is_certain}
            reported = {(step["kind"], step["name"]) for step in result["plan"] if step["action"] != "none"}
            assert result["changed"] == bool(reported)
            assert sure <= reported, f"not reported: {sure - reported}"
            if not any(line.startswith("somebody") for line in cluster.trace[start:]):
                assert reported <= {(key[0], key[2]) for _verb, key, _certain in written}, "reported, not done"
            is_calm = not any(line.startswith(("somebody", "lost", "broken", "denied", "forbidden")) for line in cluster.trace[start:])
            if error and error.reason in REFUSALS and is_calm and params["name"]:
                assert not written, f"{error.reason} changed something"
        return result, error

    def target(self, params):
        """The live object that the options name, or None."""
        return self.cluster.objects.get((params["kind"], NAMESPACE, params["name"]))


def populate(session):
    """Workloads, and what belongs to others."""
    rng, cluster = session.rng, session.cluster
    if rng.random() < 0.6:
        cluster.define("scaledobjects", KEDA)
    image = rng.choice(["app:ready", "app:ready", "app:late", "app:never"])
    cluster.fates = {"app:late": "late", "app:never": "never"}
    requests = rng.choice([None, None, None, {}, {"cpu": "0.1"}, {"cpu": "1e-1", "memory": "102400"}, {"memory": "100Ki"}])
    cluster.add_workload("Deployment", "web", rng.randrange(4), image, requests)
    cluster.add_workload("Deployment", "api", rng.randrange(1, 3))
    for kind in ("StatefulSet", "Cluster", "DaemonSet", "ConfigMap", "Job"):
        cluster.add_workload(kind, "web", rng.randrange(1, 3))
    kinds = [HPA, SCALED_OBJECT] if ("CustomResourceDefinition", None, "scaledobjects") in cluster.objects else [HPA]
    if rng.random() < 0.2:
        cluster.add_scaler(rng.choice(kinds), "theirs", ("Deployment", "web"))
    if rng.random() < 0.2:
        cluster.add_scaler(rng.choice(kinds), "web", ("StatefulSet", "web"))
    elif rng.random() < 0.2:
        cluster.add_scaler(HPA, "web", ("Deployment", "web"), is_foreign=False)  # by kubectl autoscale, to be taken over
    cluster.settle()


def change_metrics(session):
    rng, cluster = session.rng, session.cluster
    web = cluster.objects.get(("Deployment", NAMESPACE, "web"))
    if web and rng.random() < 0.2:
        stamp = rng.choice(["NaN", "-1", "", "1e400", str(2**62), f"{cluster.clock.now() + 10**6:.0f}", f"{cluster.clock.now() - 5000:.0f}"])
        web["metadata"].setdefault("annotations", {})[LAST_SCALED] = stamp
    cluster.has_metrics, cluster.active = rng.random() < 0.9, rng.random() < 0.9
    cluster.usage = rng.choice([0, 30, 50, 55, 100, 400])
    odd = [None, [], *([{"name": "task", "usage": usage}] for usage in ODD_USAGE)]
    cluster.odd_pods = {pod["metadata"]["uid"]: rng.choice(odd) for pod in cluster.of_kind("Pod") if rng.random() < 0.2}
    cluster.samples = rng.choice(BROKEN_SAMPLES) if rng.random() < 0.2 else odd_samples(rng)


def draw(session):
    """Options of a run."""
    rng = session.rng
    kind, name = rng.choice(TARGETS)
    if kind == "Pod":
        pods = [pod["metadata"]["name"] for pod in session.cluster.of_kind("Pod")]
        kind, name = ("Pod", rng.choice(pods)) if pods else ("Deployment", "web")
    params = {"kind": kind, "api_version": API_VERSIONS.get(kind), "name": name, "wait": rng.choice([None, True, False])}
    mode = rng.choice(["fixed", "fixed", "hpa", "hpa", "keda", "direct", "direct", "auto", "absent"])
    if mode == "fixed":
        params["replicas"] = rng.randrange(5)
        if rng.random() < 0.3:
            params["current_replicas"] = rng.randrange(4)
        if rng.random() < 0.3:
            params |= {"name": None, "label_selectors": ["tier=front"], "continue_on_error": rng.random() < 0.5}
        return params
    if mode == "absent":
        return params | {"state": "absent"}
    least = rng.choice([0, 1, 1, 2])
    params |= {"engine": mode, "min_replicas": least, "max_replicas": rng.randrange(max(least, 1), 6)}
    if rng.random() < 0.6:
        params["target_cpu"] = rng.choice([50, 100])
    if rng.random() < 0.3:
        params["target_memory"] = 50
    if rng.random() < (0.2 if mode == "hpa" else 0.6):
        params["prometheus"] = {"server": rng.choice(["prom:9090", "ops/prom:web"]), "query": "load", "target": rng.choice([5.0, 1e-9, 1e17])}
    if rng.random() < 0.2:
        params["metrics"] = [{"type": "External", "external": {"metric": {"name": "queue"}, "target": {"type": "Value", "value": "1e1"}}}]
    if rng.random() < 0.2:
        window = {"stabilizationWindowSeconds": 5}
        params["behavior"] = rng.choice([{}, {"scaleUp": {}}, {"scaleDown": window}, {"scaleUp": None}, {"scaleUp": {"policies": []}}])
    for name in ("scale_up_cooldown", "scale_down_cooldown"):
        if rng.random() < 0.3:
            params[name] = rng.choice([0, 3600, 100000])
    return params


def play(seed):
    session = Session(seed)
    rng, cluster = session.rng, session.cluster
    with shown_on_failure(cluster.trace):
        populate(session)
        for _run in range(rng.randrange(2, 6)):
            change_metrics(session)
            params = draw(session)
            if params["kind"] == "StatefulSet":  # its autoscaler is taken over
                cluster.foreign -= {(kind, NAMESPACE, "web") for kind in (HPA, SCALED_OBJECT)}
            cluster.unlistable = {rng.choice([HPA, SCALED_OBJECT])} if rng.random() < 0.1 else set()
            if rng.random() < 0.5:
                cluster.disturbances = rng.randrange(1, 4)
                session.perform(params)
                cluster.disturbances = 0
            cluster.settle()
            cluster.finish_deletions()
            calm_run(session, params)


def calm_run(session, params):
    """Undisturbed, check mode predicts the run, and a second run changes nothing."""
    cluster = session.cluster
    before = {key: copy.deepcopy(item) for key, item in cluster.objects.items()}
    predicted, refusal = session.perform(params, check_mode=True)
    result, error = session.perform(params)
    if refusal:
        assert error and str(refusal).partition("\n")[0] == str(error).partition("\n")[0], f"check mode: {refusal}; the run: {error}"
    if error:
        assert error.reason in (*REFUSALS, "WaitFailed", "ServiceUnavailable", "Invalid") or cluster.unlistable, f"{error.reason}: {error}"
        assert error.reason != "WaitFailed" or may_wait_in_vain(session, params), f"no reason to fail: {error}"
    else:
        assert changes_of(predicted) == changes_of(result), f"check mode: {changes_of(predicted)}; done: {changes_of(result)}"
        assert predicted.get("replicas", {}).get("before") == result.get("replicas", {}).get("before")
        if result["engine"] in ("fixed", "direct") and not cluster.unlistable:
            assert predicted["replicas"] == result["replicas"] and predicted.get("errors") == result.get("errors")
        check_success(session, params, result, before)
    if error and error.reason == "WaitFailed":
        return
    if params["kind"] == "Pod" or cluster.unlistable:
        return
    writes = len(cluster.history)
    if result["engine"] == "direct" and (result["changed"] or "prometheus" not in params):
        return  # a step changes what the next one measures
    again, error_again = session.perform(params)
    assert str(error_again) == str(error)
    if "current_replicas" not in params:
        assert not again["changed"] and len(cluster.history) == writes, f"a second run changed something: {again['plan']}"


def changes_of(result):
    return sorted((step["kind"], step["name"], step["action"]) for step in result["plan"] if step["action"] != "none")


def may_wait_in_vain(session, params):
    return not session.cluster.active or session.cluster.fates or params["kind"] not in SCALABLE


def check_success(session, params, result, before):
    """The state that the documentation promises."""
    cluster, engine = session.cluster, result["engine"]
    if cluster.unlistable and (engine == "fixed" or params["name"]):
        assert params.get("state") == "absent" or session.console.warnings or not result["changed"] or SCALED_OBJECT in cluster.unlistable
        return
    if engine == "fixed":
        check_fixed(session, params, result, before)
        return
    item = cluster.objects.get((params["kind"], NAMESPACE, params["name"]))
    if params["kind"] == "Pod" or (item is None and params.get("state") != "absent"):
        return
    scalers = cluster.scalers_of({"kind": params["kind"], "name": params["name"]})
    names = [(scaler["kind"], scaler["metadata"]["name"]) for scaler in scalers]
    was_ours = {key for key, old in before.items() if MANAGED.items() <= labels_of(old).items()}
    theirs = [name for name in names if (name[0], NAMESPACE, name[1]) in cluster.foreign or (name[0], NAMESPACE, name[1]) not in was_ours]
    is_direct = item is not None and scales_directly(item)
    if params.get("state") == "absent":
        assert names == theirs and not is_direct, f"{names} are left"
        return
    expected = {"hpa": [(HPA, params["name"])], "keda": [(SCALED_OBJECT, params["name"])], "direct": []}[engine]
    assert (names, is_direct) == (expected, engine == "direct"), f"{params['kind']} is scaled by {names}, not by {engine}"
    if engine == "direct":
        check_step(session, params, result, item, before[params["kind"], NAMESPACE, params["name"]])
    else:
        spec, limits = scalers[0]["spec"], ("minReplicas", "maxReplicas") if engine == "hpa" else ("minReplicaCount", "maxReplicaCount")
        assert [spec[name] for name in limits] == [params["min_replicas"], params["max_replicas"]]
        assert params["kind"] in SCALABLE, f"{params['kind']} has no scale subresource"


def check_fixed(session, params, result, before):
    for key, old in before.items():
        item = session.cluster.objects.get(key)
        is_selected = key[0] == params["kind"] and (params["name"] == key[2] or params["name"] is None) and key[0] in (*SCALABLE, "Job")
        if not is_selected or key in session.cluster.foreign:
            continue
        failed = {entry["name"] for entry in result["errors"]}
        scalers = session.cluster.scalers_of({"kind": key[0], "name": key[2]})
        is_skipped = params.get("current_replicas") not in (None, replicas_of(old))
        wanted = replicas_of(old) if is_skipped or key[2] in failed else params["replicas"]
        assert replicas_of(item) == wanted, f"{key} has {replicas_of(item)} replicas instead of {wanted}"
        if (scalers or scales_directly(old)) and replicas_of(old) != params["replicas"] and not is_skipped:
            assert key[2] in failed, "it was scaled to a fixed number although an autoscaler scales it"


def check_step(session, params, result, item, old):
    """A step moves into the limits, and otherwise never against what was measured."""
    cluster, now, past = session.cluster, replicas_of(item), replicas_of(old)
    limits = range(params["min_replicas"], params["max_replicas"] + 1)
    assert result["replicas"]["after"] == now and result["replicas"]["desired"] in limits
    assert now in limits
    longest = max(params.get("scale_up_cooldown") or 0, params.get("scale_down_cooldown") or 0)
    if annotation_of(old, LAST_SCALED) and float(annotation_of(old, LAST_SCALED) or "nan") < cluster.clock.now() - longest - 10:
        assert now == result["replicas"]["desired"], "its cooldown has expired"
    elif longest == 0:
        assert now == result["replicas"]["desired"], "there is no cooldown"
    pods = [pod for pod in cluster.of_kind("Pod") if pod["metadata"]["labels"]["app"] == params["name"] and is_serving(pod)]
    is_odd = any(usage[-2:] in ("5m", "Mi") for odd in cluster.odd_pods.values() for container in odd or () for usage in container["usage"].values())
    if past not in limits or params.get("prometheus") or not pods or is_odd:
        return
    usage = cluster.usage
    targets = [params[name] for name in ("target_cpu", "target_memory") if params.get(name)]
    if any(usage >= target for target in targets):
        assert now >= past, f"scaled down from {past} to {now} by a usage of {usage} %, targets {targets}"
    if all(usage <= target for target in targets):
        assert now <= past, f"scaled up from {past} to {now} by a usage of {usage} %, targets {targets}"


@settings(max_examples=EXAMPLES, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 32))
def test_autoscalers_hold_their_promises_whatever_happens(tried, seed):
    play(seed)
    tried("autoscaling in a simulated cluster with autoscalers of others, odd metrics, kills and lost answers", 1, "lost", "wrong", "hung")
