# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The arithmetic of autoscaling and of strategies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.autoscaling import policy as scaling
from ansible_collections.podwright.core.plugins.module_utils._engine.autoscaling.policy import Bounds, decide, recommend
from ansible_collections.podwright.core.plugins.module_utils._engine.deployments import manifests
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError

COUNTS = st.integers(0, 50)


@pytest.mark.parametrize(
    ("current", "ready", "metrics", "wanted"),
    [
        (2, 2, [("share", 100, 50)], 4),
        (2, 2, [("share", 54, 50)], 2),  # within the tolerance
        (4, 4, [("share", 10, 50)], 1),
        (3, 1, [("share", 100, 50)], 2),  # only what is ready is measured
        (1, 1, [("pod", 25, 10)], 3),
        (3, 3, [("pod", 31, 10)], 3),
        (0, 0, [("pod", 5, 10)], 1),
        (5, 5, [("pod", 0, 10)], 0),
        (2, 2, [("share", 10, 50), ("pod", 45, 10)], 5),  # the most that any asks for
    ],
)
def test_what_metrics_ask_for(current, ready, metrics, wanted):
    assert recommend(current, ready, [{"name": "m", "value": value, "target": target, "per": per} for per, value, target in metrics]) == wanted


@given(COUNTS, COUNTS, COUNTS, COUNTS, st.integers(0, 100), st.integers(0, 100), st.integers(0, 100))
def test_a_step_stays_in_its_bounds_and_its_cooldowns(current, recommended, least, span, up, down, ago):
    bounds = Bounds(least, least + span, up, down)
    wanted, why = decide(current, recommended, bounds, 1000 - ago, 1000)
    assert why
    inside = bounds.least <= current <= bounds.most
    if wanted == current:
        assert inside
        target = min(max(recommended, bounds.least), bounds.most)
        assert target == current or ago < (up if target > current else down)
    else:
        assert bounds.least <= wanted <= bounds.most
        assert not inside or ago >= (up if wanted > current else down)


def scale(**options):
    params = {"name": "n", "min_replicas": 1, "max_replicas": 3, "target_cpu": None, "target_memory": None, "metrics": None, "prometheus": None}
    return params | {"scale_up_cooldown": None, "scale_down_cooldown": None, "behavior": None} | options


def test_cooldowns_become_windows_and_never_override_what_is_said():
    params = scale(target_cpu=50, scale_up_cooldown=10, scale_down_cooldown=20, behavior={"scaleDown": {"stabilizationWindowSeconds": 5}})
    behavior = scaling.build_hpa(params, {"name": "web"})["spec"]["behavior"]
    assert behavior == {"scaleDown": {"stabilizationWindowSeconds": 5}, "scaleUp": {"stabilizationWindowSeconds": 10}}


@pytest.mark.parametrize("options", [{"target_cpu": 1, "scale_down_cooldown": 3601}, {"target_cpu": 1, "min_replicas": 0}, {"prometheus": {"target": 1}}])
def test_what_a_horizontal_pod_autoscaler_cannot_do_is_refused(options):
    with pytest.raises(PodwrightError):
        scaling.build_hpa(scale(**options), {})


@given(st.integers(1, 200), st.integers(1, 99))
def test_a_canary_has_its_share_as_near_as_whole_pods_allow(replicas, weight):
    count = manifests.canary_replicas(replicas, weight)
    exact = replicas * weight / (100 - weight)
    assert count >= 1 and (count == 1 or abs(count - exact) <= 0.5)


@pytest.mark.parametrize(
    ("value", "success", "failure", "outcome"),
    [
        (0.01, "< 0.05", None, "success"),
        (0.05, "< 0.05", None, "failure"),
        (0.05, "<= 0.05", "> 0.1", "success"),
        (0.07, "< 0.05", "> 0.1", "inconclusive"),
        (0.2, "< 0.05", "> 0.1", "failure"),
        (1, ">= 1", ">= 1", "failure"),  # in doubt it is none
        (None, "< 0.05", None, "inconclusive"),
    ],
)
def test_outcomes_of_a_measurement(value, success, failure, outcome):
    assert manifests.judge_value(value, success, failure) == outcome
