#!/usr/bin/env python3
"""Measures the CPU time of a first build: docs/tools/build_cost.py [CRATES [OPTIONS]]

Builds `caviar` with optimisation in an empty folder, crate by crate, and prints the CRATES (20)
that took the most CPU time of the compiler. The rest of the total is C code, linking, and cargo
itself. OPTIONS go to cargo, such as `--features object-store`.
"""

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

LOG = "BUILD_COST_LOG"


def user_seconds():
    """CPU seconds in user mode of all child processes that have ended."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime


def compile_one(command):
    """Runs the compiler for cargo, and logs its CPU time."""
    code = subprocess.run(command, check=False, close_fds=False).returncode
    name = command[command.index("--crate-name") + 1] if "--crate-name" in command else ""
    with open(os.environ[LOG], "a", encoding="utf-8") as log:
        log.write(f"{user_seconds():.2f} {name}\n")
    return code


def main(count, options):
    """Builds in an empty folder, and prints the table."""
    repository = Path(__file__).resolve().parents[2]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        environment = {
            **os.environ,
            LOG: str(log),
            "RUSTC_WRAPPER": str(Path(__file__).resolve()),
            "CARGO_TARGET_DIR": str(Path(folder) / "target"),
        }
        command = ["cargo", "build", "--release", "--bin", "caviar", *options]
        subprocess.run(command, cwd=repository, env=environment, check=True)
        total = user_seconds()
        costs = {}
        for line in log.read_text(encoding="utf-8").splitlines():
            seconds, _, name = line.partition(" ")
            costs[name] = costs.get(name, 0) + float(seconds)
    own = sum(cost for name, cost in costs.items() if name.startswith("caviar"))
    print(f"{'total':24} {total:7.1f} s")
    print(f"{'crates of Caviar':24} {own:7.1f} s")
    print(f"{'other crates':24} {sum(costs.values()) - own:7.1f} s")
    print(f"{'C, linking, cargo':24} {total - sum(costs.values()):7.1f} s\n")
    for name, cost in sorted(costs.items(), key=lambda entry: -entry[1])[:count]:
        print(f"{name:24} {cost:7.1f} s")


if LOG in os.environ:
    sys.exit(compile_one(sys.argv[1:]))
main(int(sys.argv[1]) if len(sys.argv) > 1 else 20, sys.argv[2:])
