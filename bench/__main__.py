"""`python -m bench [--only NAME]`: measure this machine, print a table, write bench/results.json.

A benchmark is a module of this folder with `run() -> list[Result]`. Never fails on a time, which is the machine's; but on a
ratio that has a limit (growth, nodes), on wrong order and on a lost envelope.
"""

import argparse
import importlib
import json
import os
import sys
from pathlib import Path

from bench.results import Result, shown, table

BENCHMARKS = {
    "relay": "bench.relay_throughput",
    "latency": "bench.relay_latency",
    "idle": "bench.relay_idle",
    "crypto": "bench.crypto_ratchet",
    "groups": "bench.crypto_sender_keys",
    "removal": "bench.group_removal",
    "audit": "bench.audit_log",
    "push": "bench.push_wakeups",
    "refusals": "bench.refusals",
    "scale": "bench.scale",
    "nodes": "bench.nodes",
    "growth": "bench.growth",
}
RESULTS = Path(__file__).with_name("results.json")


def main() -> int:
    """0 if every benchmark ran, and each ratio of which something is asked is below its limit."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="measure this machine")
    parser.add_argument("--only", choices=sorted(BENCHMARKS), help="one benchmark alone")
    only = parser.parse_args().only
    results: list[Result] = []
    for name, module in BENCHMARKS.items():
        if only in (None, name):
            print(f"{name} …", file=sys.stderr, flush=True)
            results += importlib.import_module(module).run()
    print(f"{os.cpu_count()} cores, load of the machine in the last minute {os.getloadavg()[0]:.1f}")
    print(table(results))
    RESULTS.write_text(json.dumps([result.as_json() for result in results], indent=1) + "\n", "utf-8")
    failed = [result for result in results if result.has_failed]
    for result in failed:
        print(f"{result.name}: {shown(result.ratio)} times, {result.verdict}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
