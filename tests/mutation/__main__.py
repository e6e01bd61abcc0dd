# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Mutation testing: change one place of the engine at a time; some unit test has to notice.

    python -m tests.mutation [--jobs N] [--seconds N] [--sample N] [--tests GLOB]
                             [--list FILE | --mutants FILE] [PATH…]

Each mutant lives in a forked process that has pytest loaded but not the engine: nothing is written to the tree. Only the tests that execute the changed
line run, the shortest first, until one fails.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.abc
import importlib.util
import io
import itertools
import json
import multiprocessing
import os
import random
import signal
import sys
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "ansible_collections.podwright.core"
EQUIVALENT = Path(__file__).parent / "equivalent.json"  # {digest: why no test can notice it}
KILLED, SURVIVED, TIMED_OUT, NOT_COVERED = "killed", "survived", "timed out", "not covered"
SECONDS_PER_MUTANT = 30  # of tests that run for it
_FORK = multiprocessing.get_context("fork")


class _Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from a changed source."""

    def __init__(self, path: str, source: str):
        self._name = f"{PACKAGE}.{path.removesuffix('.py').replace('/', '.')}"
        self._path, self._source = str(ROOT / path), source

    def find_spec(self, fullname, path=None, target=None):
        return importlib.util.spec_from_file_location(fullname, self._path, loader=self) if fullname == self._name else None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        exec(compile(self._source, self._path, "exec"), module.__dict__)


class _Durations:
    """A pytest plugin: seconds of each test, the tests that fail, and the lines of the engine that each executes."""

    def __init__(self, coverage):
        self.seconds, self.failed, self._coverage = defaultdict(float), set(), coverage

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        self._coverage.switch_context(item.nodeid)
        started = time.monotonic()
        try:
            return (yield)
        finally:
            self.seconds[item.nodeid] += time.monotonic() - started

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.failed.add(report.nodeid)


def _quiet(function, *arguments):
    """Call a function in a session of its own, whose output is discarded."""
    os.setsid()
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        function(*arguments)


def _in_fork(function, *arguments, timeout: float):
    """What a function sends from a forked process, or None if it takes too long or dies."""
    receiver, sender = _FORK.Pipe(False)
    process = _FORK.Process(target=_quiet, args=(function, sender, *arguments))
    process.start()
    sender.close()
    try:
        return receiver.recv() if receiver.poll(timeout) else None
    except EOFError:
        return "died"
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.join()


def _trace(sender, path: str) -> None:
    """Send {test: seconds} of a file of tests, the tests that fail, and {module: {line: [tests]}}."""
    import coverage

    measured = coverage.Coverage(data_file=None, include=[str(ROOT / "plugins/module_utils/_engine/*")], concurrency=["thread"])
    durations = _Durations(measured)
    measured.start()
    pytest.main(["-q", "-p", "no:xdist", path], plugins=[durations])
    measured.stop()
    data = measured.get_data()
    lines = {name: {line: [sys.intern(test) for test in tests] for line, tests in data.contexts_by_lineno(name).items()} for name in data.measured_files()}
    sender.send((dict(durations.seconds), durations.failed, lines))


def _judge(sender, path: str, source: str, tests: list[str]) -> None:
    """Send whether some test fails with a changed module."""
    sys.meta_path.insert(0, _Mutated(path, source))
    sender.send(int(pytest.main(["-x", "-q", "-p", "no:xdist", "--tb=no", *tests])))


def trace(jobs: int, pattern: str) -> tuple[dict[str, float], dict[str, dict[int, list[str]]]]:
    """The seconds of each unit test, and the tests that execute each line of the engine: {module: {line: [tests]}}; "" is its import."""
    seconds: dict[str, float] = {}
    lines: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    paths = sorted(str(path) for path in Path("tests/unit").glob(pattern))
    with ThreadPoolExecutor(jobs) as pool:
        traced = zip(paths, pool.map(lambda path: _in_fork(_trace, path, timeout=600), paths), strict=True)
    for path, found in traced:
        if not isinstance(found, tuple):
            raise SystemExit(f"{path} did not finish unchanged: {found}")
        seconds |= {test: taken for test, taken in found[0].items() if test not in found[1]}
        for test in found[1]:
            print(f"left out, since it fails unchanged: {test}", file=sys.stderr)
        for name, contexts in found[2].items():
            for line, tests in contexts.items():
                lines[str(Path(name).relative_to(ROOT))][line] += tests
    return seconds, lines


def choose_tests(tests: list[str], seconds: dict[str, float], chance: random.Random) -> list[str]:
    """Tests for one line, the shortest first, up to a limit of time. A line that runs at import concerns every test of the module."""
    known = sorted({test for test in tests if test in seconds}, key=lambda test: (round(seconds[test], 1), chance.random()))
    total, chosen = 0.0, []
    for test in known:
        total += seconds[test]
        if total > SECONDS_PER_MUTANT:
            break
        chosen.append(test)
    return chosen or known[:1]


def main() -> int:
    parser = argparse.ArgumentParser(description="Mutation testing of the engine")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="judge no further mutants after this time")
    parser.add_argument("--sample", type=int, help="judge that many mutants, chosen at random")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tests", default="test_*.py", help="only the files of unit tests of this name")
    parser.add_argument("--list", type=Path, help="write the mutants to this file, and judge none")
    parser.add_argument("--mutants", type=Path, help="read the mutants from this file")
    parser.add_argument("--report", type=Path, help="write every mutant that was not killed to this file")
    parser.add_argument("paths", nargs="*", type=Path)
    options = parser.parse_args()
    os.chdir(ROOT)
    if options.mutants:
        mutants = json.loads(options.mutants.read_text())
    else:
        from .mutants import find_mutants, modules

        mutants = [vars(mutant) for path in options.paths or modules() for mutant in find_mutants(path)]
    if options.list:
        options.list.write_text(json.dumps(mutants))
        print(f"{len(mutants)} mutants")
        return 0
    return judge(mutants, options)


def judge(mutants: list[dict], options: argparse.Namespace) -> int:
    """Judge mutants and print a table. Returns: 1 if fewer than 90 % of them were killed."""
    chance = random.Random(options.seed)
    equivalent = json.loads(EQUIVALENT.read_text()) if EQUIVALENT.exists() else {}
    mutants = [mutant for mutant in mutants if mutant["digest"] not in equivalent]
    chance.shuffle(mutants)
    mutants = mutants[: options.sample]
    started = time.monotonic()
    seconds, lines = trace(options.jobs, options.tests)
    print(f"{len(seconds)} tests traced in {time.monotonic() - started:.0f} s", flush=True)
    gc.freeze()  # else each fork's collector copies the memory of the trace
    verdicts = itertools.count(1)

    def outcome(mutant: dict) -> str | None:
        if time.monotonic() - started > options.seconds:
            return None
        known = lines.get(mutant["path"], {})
        tests = known.get(mutant["line"], [])
        if "" in tests:  # executed at import: each test of the module
            tests = [test for line in known.values() for test in line if test]
        chosen = choose_tests(tests, seconds, chance)
        if not chosen:
            return NOT_COVERED
        rc = _in_fork(_judge, mutant["path"], mutant["source"], chosen, timeout=20 + 5 * sum(seconds[test] for test in chosen))
        number = next(verdicts)
        if number % 50 == 0:
            print(f"{number} of {len(mutants)} mutants judged after {time.monotonic() - started:.0f} s", flush=True)
        return TIMED_OUT if rc is None else SURVIVED if rc == 0 else KILLED

    with ThreadPoolExecutor(options.jobs) as pool:
        judged = [(mutant, found) for mutant, found in zip(mutants, pool.map(outcome, mutants), strict=True) if found]
    report(judged, len(mutants), equivalent, options.report)
    dead = sum(found in (KILLED, TIMED_OUT) for _mutant, found in judged)
    return int(dead < 0.9 * len(judged))


def report(judged: list[tuple[dict, str]], total: int, equivalent: dict[str, str], path: Path | None) -> None:
    """Print a line for each module, and write each mutant that lives."""
    counts: dict[str, Counter] = defaultdict(Counter)
    for mutant, found in judged:
        counts[mutant["path"]][found] += 1
        counts["all"][found] += 1
    for name, count in sorted(counts.items()):
        dead = count[KILLED] + count[TIMED_OUT]
        name, share = name.removeprefix("plugins/module_utils/_engine/"), 100 * dead / sum(count.values())
        print(f"{name:40} {sum(count.values()):5} mutants, {share:5.1f} % killed  {dict(count)}")
    print(f"{len(judged)} of {total} mutants judged, {len(equivalent)} known as equivalent")
    living = [mutant | {"found": found} for mutant, found in judged if found in (SURVIVED, NOT_COVERED)]
    living.sort(key=lambda mutant: (mutant["path"], mutant["line"]))
    text = "".join(f"{m['digest']} {m['path']}:{m['line']}: {m['found']}\n    - {m['before']}\n    + {m['after']}\n" for m in living)
    if path:
        path.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    sys.exit(main())
