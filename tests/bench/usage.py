# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an API server counts and what the processes of a cluster use: between two times, as `make simulation` measures."""

from __future__ import annotations

import math
import os
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

COUNTED = (
    "apiserver_request_duration_seconds",
    "apiserver_watch_events_total",
    "apiserver_flowcontrol_request_wait_duration_seconds",
    "apiserver_flowcontrol_rejected_requests_total",
    "apiserver_flowcontrol_nominal_limit_seats",
    "apiserver_storage_size_bytes",
    "etcd_request_duration_seconds",
)
_SAMPLE = re.compile(rf"^((?:{'|'.join(COUNTED)})(?:_bucket|_sum|_count)?)(?:\{{(.*)\}})? (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_TICKS = os.sysconf("SC_CLK_TCK")  # in a second

Series = tuple[str, frozenset[tuple[str, str]]]
"""The name of a metric, and its labels."""


class Process(NamedTuple):
    """What a process has used: seconds of CPU time, and bytes of memory now and at most."""

    cpu: float
    memory: int
    peak: int


@dataclass(frozen=True)
class Snapshot:
    """The samples of the API server and the processes at a time."""

    at: float
    samples: Mapping[Series, float]
    processes: Mapping[str, Process]


def take_snapshot(metrics: str, pids: Mapping[str, int]) -> Snapshot:
    """Read what was used until now.

    Args:
        metrics: what the API server answers at /metrics.
        pids: {name: process id}.
    """
    return Snapshot(time.monotonic(), read_samples(metrics), {name: read_process(pid) for name, pid in pids.items()})


def read_samples(metrics: str) -> dict[Series, float]:
    """The samples of the metrics in COUNTED, from Prometheus' text format."""
    return {(name, frozenset(_LABEL.findall(labels or ""))): float(value) for name, labels, value in _SAMPLE.findall(metrics)}


def read_process(pid: int) -> Process:
    """What a process of this machine has used (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text()
    memory, peak = (int(re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)[1]) << 10 for name in ("VmRSS", "VmHWM"))  # type: ignore[index]
    return Process((int(fields[11]) + int(fields[12])) / _TICKS, memory, peak)


@dataclass(frozen=True)
class Interval:
    """What was used between two snapshots."""

    before: Snapshot
    after: Snapshot

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.after.at - self.before.at

    def cpu(self, process: str) -> float:
        """Seconds of CPU time of a process; of the part since its start if it was started meanwhile."""
        used, before = self.after.processes[process].cpu, self.before.processes.get(process)
        return used - before.cpu if before and before.cpu <= used else used

    def increase(self, name: str, **labels: str) -> float:
        """By how much the sum of a counter's series with these labels has increased."""
        return sum(value for _labels, value in self._increases(name, labels))

    def quantile(self, name: str, part: float, **labels: str) -> float | None:
        """The quantile of a histogram, as Prometheus calculates it; None without observations.

        Args:
            part: from 0 to 1.
        """
        buckets: dict[float, float] = defaultdict(float)
        for found, value in self._increases(f"{name}_bucket", labels):
            buckets[float(found["le"])] += value
        return quantile_of(buckets, part)

    def _increases(self, name: str, labels: Mapping[str, str]) -> Iterable[tuple[dict[str, str], float]]:
        for (metric, found), value in self.after.samples.items():
            if metric == name and labels.items() <= dict(found).items():
                yield dict(found), value - self.before.samples.get((metric, found), 0)


def quantile_of(buckets: Mapping[float, float], part: float) -> float | None:
    """The quantile of {upper bound: observations up to it}; None without observations."""
    wanted = part * buckets.get(math.inf, 0)
    lower = below = 0.0
    for bound in sorted(buckets) if wanted else ():
        if buckets[bound] >= wanted:
            return lower if bound == math.inf else lower + (bound - lower) * (wanted - below) / (buckets[bound] - below)
        lower, below = bound, buckets[bound]
    return None
