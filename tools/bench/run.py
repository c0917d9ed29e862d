# SPDX-License-Identifier: MIT
"""Collects the figures of the project: run.py [--only NAME]... [--update-size]

Each module bench_NAME.py in this folder has `figures() -> dict[str, number]`. A whole run writes
them to build/bench.json, one flat object; a run of a part writes nothing, since figures of two
states of the code do not belong into one file. Sizes are compared with size.csv, which is in git.

Exits 1 when a bar is missed, when a whole run lacks a figure that has one, or when a bench fails.
A run of `size` alone, which is what CI makes, is held to size.csv instead: nothing may grow that
is not written there (`make size-update`), so growth is seen where a change is read.
"""

import argparse
import csv
import importlib
import json
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path

import bench_size
from goals import GOALS

REPO = Path(__file__).resolve().parent.parent.parent
SIZES = REPO / "size.csv"
RECORDED = ("heap_", "mpy_bytes_")  # figures that size.csv keeps beside those of every module


def _names() -> list[str]:
    return sorted(path.stem[len("bench_") :] for path in Path(__file__).parent.glob("bench_*.py"))


def _collect(names: list[str]) -> tuple[dict[str, float], list[str]]:
    """Figures of these benches, and what went wrong."""
    found: dict[str, float] = {}
    troubles = []
    for name in names:
        print(f"bench: {name}", end="", file=sys.stderr, flush=True)
        start = time.monotonic()
        try:
            new = importlib.import_module(f"bench_{name}").figures()
        except Exception:  # noqa: BLE001  (the other benches still have their say)
            print(f"\n{traceback.format_exc()}", file=sys.stderr)
            troubles.append(f"bench_{name} failed")
            continue
        print(f", {time.monotonic() - start:.1f} s", file=sys.stderr)
        troubles += [f"{figure} is measured twice" for figure in new if figure in found]
        found.update(new)
    return found, troubles


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"


def _judge(found: Mapping[str, float], whole: bool) -> tuple[list[list[str]], list[str]]:
    """Rows of the table, and the bars that are missed."""
    rows, missed = [], []
    for name in sorted(set(found) | (set(GOALS) if whole else set())):
        value, goal = found.get(name), GOALS.get(name)
        verdict = ""
        if goal is not None:
            if value is None:
                verdict = "NOT MEASURED"
            elif not goal.met(value):
                verdict = "MISSED"
            elif goal.exceeded(value):
                verdict = "goal"
            else:
                verdict = "ok"
            if verdict.isupper():
                missed.append(f"{name}: {verdict.lower()}")
        sign = "" if goal is None else ("<= " if goal.most else ">= ")
        bar = "" if goal is None else sign + _number(goal.bar)
        beyond = "" if goal is None or goal.goal is None else sign + _number(goal.goal)
        rows.append([name, _number(value), bar, beyond, verdict])
    return rows, missed


def _print_table(rows: list[list[str]]) -> None:
    rows = [["figure", "value", "bar", "goal", ""], *rows]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for name, *numbers, verdict in rows:
        cells = [cell.rjust(width) for cell, width in zip(numbers, widths[1:4], strict=True)]
        print("  ".join([name.ljust(widths[0]), *cells, verdict]).rstrip())


def _load_sizes() -> dict[str, float]:
    if not SIZES.exists():
        return {}
    with SIZES.open(newline="") as file:
        return {row["name"]: json.loads(row["value"]) for row in csv.DictReader(file)}


def _save_sizes(sizes: Mapping[str, float]) -> None:
    with SIZES.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["name", "value"])
        writer.writerows((name, json.dumps(sizes[name])) for name in sorted(sizes))


def _compare_sizes(found: Mapping[str, float], update: bool) -> list[str]:
    """Print what differs from size.csv; return what has grown beyond it."""
    before = _load_sizes()
    modules = bench_size.modules()
    recorded = {name: value for name, value in found.items() if name.startswith(RECORDED)}
    # A figure that this run did not measure keeps its last value; a module that is gone is gone.
    kept = {name: value for name, value in before.items() if name.startswith(RECORDED)}
    now = {**kept, **modules, **recorded}
    changed = [n for n in sorted(before.keys() | now) if before.get(n) != now.get(n)]
    print(
        f"size.csv: {len(changed)} of {len(now)} differ" if changed else "size.csv: no difference"
    )
    for name in changed:
        old, new = before.get(name, 0), now.get(name, 0)
        print(f"  {name}: {_number(old)} -> {_number(new)} ({new - old:+,})")
    if update and changed:
        _save_sizes(now)
        print("size.csv is written")
        return []
    return [f"{n} has grown" for n in changed if now.get(n, 0) > before.get(n, 0)]


def main() -> int:
    parser = argparse.ArgumentParser(description="Collect the figures of the project.")
    parser.add_argument("--only", action="append", choices=_names(), help="run this bench alone")
    parser.add_argument("--update-size", action="store_true", help="write sizes to size.csv")
    args = parser.parse_args()
    names = args.only or _names()
    whole = names == _names()
    found, troubles = _collect(names)
    rows, missed = _judge(found, whole)
    _print_table(rows)
    grown = _compare_sizes(found, args.update_size) if "size" in names else []
    if whole and not troubles:
        target = REPO / "build" / "bench.json"
        target.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")
    failures = troubles + (grown if names == ["size"] else missed)
    for failure in failures:
        print(f"bench: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
