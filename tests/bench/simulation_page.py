# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a simulation measured as Markdown."""

from __future__ import annotations

from typing import Any

from .page import format_number, format_table

Entry = dict[str, Any]

COMPONENTS = {"apiserver": "API server", "etcd": "etcd", "scheduler": "scheduler", "controller-manager": "controller manager", "kwok": "KWOK"}
KINDS = ("one pod for each task", "one Job for each task", "one Indexed Job")


def render(report: dict[str, Any]) -> str:
    """The tables, as far as the report has their parts."""
    (idle,) = report["idle"]
    loads = [one["load"] for part in report.values() if isinstance(part, list) for one in part]
    lines = [
        f"`{report['command']}` on {report['date']}, {report['machine']}, with a load average between {min(loads):.0f} and {max(loads):.0f}.",
        f"Kubernetes {report['kubernetes']}, etcd and Podwright share this machine; KWOK simulates {report['nodes']:,} nodes, on which",
        "a task runs for 1 to 3 s.",
        "",
    ]
    parts = {"growth": _growth, "settings": _settings, "processes": _processes}
    for name, part in parts.items():
        lines += [*part(report[name]), ""] if name in report else []
    lines += [*_reading(report), "", *_facts(report, idle)]
    return "\n".join(lines) + "\n"


def _growth(entries: list[Entry]) -> list[str]:
    batch = f"batches of {entries[-1].get('batch', 0):,} tasks, {entries[-1].get('processes', 0)} at a time, each in its namespace; the pods stay"
    lines = [f"### Tasks that complete: {batch}", ""]
    head = [
        "pods afterwards",
        "tasks that ran",
        "tasks a second",
        "created to scheduled",
        "created to finished",
        "requests about pods, a task",
        "watch events, a task",
    ]
    head += ["etcd", "cores used"]
    lines += format_table(head, [[one["name"], *(_failed(one) or _course(one))] for one in entries])
    lines += ["", "Milliseconds of CPU time; what the API server and etcd do for the leases of the nodes counts as requests:", ""]
    head = [
        "pods afterwards",
        "Podwright, a task",
        "scheduler, a task",
        "controller manager, a task",
        "KWOK, a task",
        "API server, a request",
        "etcd, a request",
    ]
    lines += format_table(head, [[one["name"], *(_failed(one) or _cpu(one))] for one in entries])
    lines += ["", "Memory at most; that of Podwright is of one process:", ""]
    lines += format_table(["pods afterwards", "Podwright", *COMPONENTS.values()], [[one["name"], *(_failed(one) or _memory(one))] for one in entries])
    lines += ["", "Requests to the API server, milliseconds at the median and the 99th percentile:", ""]
    names = list(dict.fromkeys(name for one in entries for name in one["requests"]))
    head = ["pods afterwards", *names, "waiting for priority and fairness (99th)", "rejected"]
    lines += format_table(head, [[one["name"], *(_latency(one, name) for name in names), _waited(one), f"{one['rejected']:.0f}"] for one in entries])
    return lines


def _course(one: Entry) -> list[str]:
    requests = sum(count for count, *_quantiles in one["requests"].values()) / one["tasks"]
    waits = [_range(one.get(name)) for name in ("until_scheduled", "until_finished")]
    cores = (one["client_cpu"] + sum(one["cpu"].values())) / one["seconds"]
    cells = [
        f"{one['tasks']:,}",
        format_number(one["tasks"] / one["seconds"]),
        *waits,
        format_number(requests),
        format_number(one["watch_events"] / one["tasks"]),
    ]
    return [*cells, _bytes(one["etcd_bytes"]), format_number(cores)]


def _cpu(one: Entry) -> list[str]:
    """Milliseconds: of Podwright and of what works for tasks alone for each task, of what also works for nodes for each request."""
    used = one["cpu"]
    of_tasks = [one["client_cpu"], *(used.get(name, 0) for name in ("scheduler", "controller-manager", "kwok"))]
    of_requests = [used.get(name, 0) for name in ("apiserver", "etcd")]
    return [*(format_number(value * 1000 / one["tasks"]) for value in of_tasks), *(format_number(value * 1000 / one["all_requests"]) for value in of_requests)]


def _memory(one: Entry) -> list[str]:
    return [_bytes(one["client_peak"]), *(_bytes(one["peak"].get(name)) for name in COMPONENTS)]


def _latency(one: Entry, name: str) -> str:
    if name not in one["requests"]:
        return "–"
    _count, *quantiles = one["requests"][name]
    return " / ".join(format_number(value * 1000) for value in quantiles)


def _waited(one: Entry) -> str:
    return "–" if one["waited"] is None else f"{format_number(one['waited'] * 1000)} ms"


def _settings(entries: list[Entry]) -> list[str]:
    """Each kind of work with each setting, in the order in which they were measured."""
    settings = list(dict.fromkeys(one["name"] for one in entries))
    head = ["tasks as", "tasks", *(f"{name}: tasks a second" for name in settings)]
    rows = []
    for number, kind in enumerate(KINDS):
        measured = entries[number :: len(KINDS)]
        rates = [one.get("error") or format_number(one["tasks"] / one["seconds"]) for one in measured]
        rows.append([kind, f"{measured[0]['tasks']:,}", *rates])
    return ["### Limits of the scheduler and of the controllers", "", *format_table(head, rows)]


def _processes(entries: list[Entry]) -> list[str]:
    head = ["batches", "tasks a second", "CPU of Podwright, ms a task", "memory of a process", "created to finished"]
    rows = []
    for one in entries:
        cells = _failed(one)
        if not cells:
            cells = [format_number(one["tasks"] / one["seconds"]), _cpu(one)[0], _bytes(one["client_peak"]), _range(one.get("until_finished"))]
        rows.append([one["name"], *cells])
    return ["### Batches and processes", "", *format_table(head, rows)]


def _reading(report: dict[str, Any]) -> list[str]:
    """Seconds and memory of each operation at each size."""
    sizes = [name.removeprefix("reading ") for name in report if name.startswith("reading ")]
    if not sizes:
        return []
    operations = [one["name"] for one in report[f"reading {sizes[0]}"]]
    rows = []
    for number, name in enumerate(operations):
        found = [report[f"reading {size}"][number] for size in sizes if number < len(report[f"reading {size}"])]
        rows.append([name, *(one.get("error") or f"{format_number(one['seconds'])} s, {_bytes(one['client_peak'])}" for one in found)])
    return ["### Reading all pods: seconds, and memory of the process", "", *format_table(["", *(f"{size} pods" for size in sizes)], rows)]


def _facts(report: dict[str, Any], idle: Entry) -> list[str]:
    cpu = ", ".join(f"{text} {format_number(idle['cpu'][name] / idle['seconds'])}" for name, text in COMPONENTS.items() if name in idle["cpu"])
    lines = [
        f"- When no task runs, {report['nodes']:,} nodes cost {format_number(idle['all_requests'] / idle['seconds'])} requests a second, and of a core: {cpu}."
    ]
    lines += [
        f"- Priority and fairness grants {idle['seats']:.0f} requests at a time to service accounts (`workload-low`) with the defaults of the API server."
    ]
    for one in report.get("garbage", ()):
        rate = one.get("error") or f"{format_number(one['tasks'] / one['seconds'])} pods a second, {_bytes(one['client_peak'])} of memory"
        lines.append(f"- `pod_gc` deletes {one['tasks']:,} pods in {format_number(one['seconds'])} s: {rate}; etcd has {_bytes(one['etcd_bytes'])} then.")
    return lines


# -- cells ----------------------------------------------------------------------------------------------------


def _failed(one: Entry) -> list[str]:
    return [f"failed: {one['error']}"] if "error" in one else []


def _range(quantiles: list[float] | None) -> str:
    return "–" if quantiles is None else " / ".join(f"{value:.0f}" for value in quantiles) + " s"


def _bytes(value: float | None) -> str:
    return "–" if value is None else f"{value / (1 << 20):,.0f} MiB"
