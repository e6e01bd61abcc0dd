# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Podwright beside its peers and the limit, on one cluster in one run. `make bench` runs the usual rows; ARGS are names of rows and options."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from ..support.environment import ROOT
from . import chart, copy_rows, object_rows, page, scale_rows, task_rows
from .measuring import Bench
from .model import Curve, Row, describe, measure_curve, measure_row
from .peers import Peers, find_peers

ROWS = [*task_rows.ROWS, *object_rows.ROWS, *copy_rows.ROWS, *scale_rows.ROWS]
CURVES = [*object_rows.CURVES, *copy_rows.CURVES, *scale_rows.CURVES]
OUTPUT = ROOT / "tests/output"
PAGE, CHART = ROOT / "docs/performance.md", ROOT / "docs/images/performance.svg"


def main() -> None:
    """Measure what is asked for, print it after each row, and write JSON, Markdown and a chart."""
    arguments = _parse()
    peers, written = find_peers(), OUTPUT / "bench.json"
    report = _describe(arguments) | {"versions": peers.versions, "absent": peers.absent, "rows": [], "curves": []}
    if arguments.go_on:
        before, commit = json.loads(written.read_text()), report["commit"]
        report = before | ({} if commit in before["commit"] else {"commit": f"{before['commit']} and {commit}"})
    done = {one["name"] for one in report["rows"] + report["curves"]}
    OUTPUT.mkdir(exist_ok=True)
    for name, reason in peers.absent.items():
        print(f"{name} is not measured: {reason}", flush=True)
    for row in (row for row in ROWS if _is_chosen(row, arguments) and row.name not in done):
        report["rows"].append(_measure(row, peers, arguments.quick))
        print(page.render(report | {"rows": report["rows"][-1:]}).partition("### Everything")[2], flush=True)
        written.write_text(json.dumps(report, indent=1))
    for curve in (curve for curve in CURVES if _is_chosen(curve, arguments) and curve.name not in done):
        report["curves"].append(_grow(curve, peers))
        written.write_text(json.dumps(report, indent=1))
    generated = page.render(report)
    print(generated)
    (OUTPUT / "bench.md").write_text(generated)
    (OUTPUT / "bench.svg").write_text(chart.draw(report["rows"]))
    if arguments.publish:
        PAGE.write_text(page.publish(PAGE.read_text(), generated))
        CHART.write_text(chart.draw(report["rows"]))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    names = [*(row.name for row in ROWS), *(curve.name for curve in CURVES), "all"]
    parser.add_argument("rows", nargs="*", choices=[*names, []], metavar="ROW", help=f"rows and curves to measure, all for every row: {', '.join(names)}")
    parser.add_argument("--quick", action="store_true", help="a tenth of each size, once, without curves: whether everything works")
    parser.add_argument("--continue", dest="go_on", action="store_true", help="measure only what the run before, which was interrupted, has not")
    parser.add_argument("--publish", action="store_true", help="also write docs/performance.md and its chart")
    return parser.parse_args()


def _is_chosen(item: Row | Curve, arguments: argparse.Namespace) -> bool:
    is_usual = not item.heavy if isinstance(item, Row) else not arguments.quick
    return item.name in arguments.rows or "all" in arguments.rows or (not arguments.rows and is_usual)


def _describe(arguments: argparse.Namespace) -> dict[str, Any]:
    """The time and the machine of this run."""
    words = " ".join([*arguments.rows, *(f"--{name}" for name in ("quick", "publish") if getattr(arguments, name))])
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "command": f"make bench ARGS='{words}'" if words else "make bench",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": commit,
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}, {os.getloadavg()[0]:.1f} processes waiting at the start",
    }


def _measure(row: Row, peers: Peers, quick: bool) -> dict[str, Any]:
    """A row that cannot be prepared is reported with its error."""
    print(f"{row.name}: {row.work}", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(peers, quick, Path(directory))
        try:
            with bench.cleanup:
                return measure_row(row, row.prepare(bench), quick)
        except Exception as error:
            return {"name": row.name, "work": row.work, "contenders": [], "goals": [], "facts": {}, "error": describe(error)}
        finally:
            bench.client.close()


def _grow(curve: Curve, peers: Peers) -> dict[str, Any]:
    print(f"{curve.name}: growth with {curve.unit}", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(peers, False, Path(directory))
        try:
            with bench.cleanup:
                return measure_curve(bench, curve)
        except Exception as error:
            return {"name": curve.name, "unit": curve.unit, "error": describe(error)}
        finally:
            bench.client.close()


if __name__ == "__main__":
    main()
