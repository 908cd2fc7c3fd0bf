"""Trains on a table of 4 GB, in a control group with 1 GB of memory.

    pip install numpy
    cargo build --release
    sudo python tests/peers/tables/large.py --caviar target/release/caviar --folder /var/tmp/large

The folder needs 12 GB: the table, and the files that Caviar makes of it. The table has 40 numbers
and a label of two classes, which a network without hidden layers nearly finds out. Only the group's
limit needs root and version 1 of control groups; `--no-limit` goes without. The peak that is
printed is that of the group, with its page cache, or that of the process.
"""

import argparse
import json
import os
import resource
import subprocess
import time

import numpy

COLUMNS = 40
ROWS_AT_ONCE = 20_000
GROUP = "/sys/fs/cgroup/memory/caviar-large"
SWEEP = """name = "large"
[data]
source = "large.csv"
label = "y"
validation = 0.02
test = 0
[fixed]
epochs = 1
layers = 0
batch_size = 1024
[space]
learning_rate = {{ scale = "log", low = 0.001, high = 0.1 }}
[search]
trials = {trials}
"""


def write_table(path, size):
    """Writes a table of `size` bytes, and returns its rows."""
    random = numpy.random.default_rng(1)
    factors = random.standard_normal(COLUMNS)
    rows = 0
    with open(path, "w", encoding="utf-8") as file:
        file.write(",".join(f"x{column}" for column in range(COLUMNS)) + ",y\n")
        while file.tell() < size:
            values = random.standard_normal((ROWS_AT_ONCE, COLUMNS)).round(6)
            classes = values @ factors + random.standard_normal(ROWS_AT_ONCE) > 0
            lines = (
                ",".join(map(repr, row)) + (",yes\n" if is_yes else ",no\n")
                for row, is_yes in zip(values.tolist(), classes)
            )
            file.writelines(lines)
            rows += ROWS_AT_ONCE
    return rows


def enter(limit):
    """Moves this process into the control group."""
    os.makedirs(GROUP, exist_ok=True)
    for name, value in (("memory.limit_in_bytes", limit), ("cgroup.procs", os.getpid())):
        with open(os.path.join(GROUP, name), "w", encoding="utf-8") as file:
            file.write(str(value))


def peak(is_limited):
    if not is_limited:
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    with open(os.path.join(GROUP, "memory.max_usage_in_bytes"), encoding="utf-8") as file:
        return int(file.read())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--caviar", required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--gigabytes", type=float, default=4)
    parser.add_argument("--limit", type=int, default=1_000_000_000, help="bytes")
    parser.add_argument("--no-limit", action="store_true")
    parser.add_argument("--trials", type=int, default=2)
    options = parser.parse_args()
    caviar = os.path.abspath(options.caviar)
    os.makedirs(options.folder, exist_ok=True)
    table = os.path.join(options.folder, "large.csv")
    if not os.path.exists(table):
        rows = write_table(table + ".part", options.gigabytes * 1e9)
        os.rename(table + ".part", table)
        print(f"wrote {rows} rows", flush=True)
    with open(os.path.join(options.folder, "large.toml"), "w", encoding="utf-8") as file:
        file.write(SWEEP.format(trials=options.trials))
    is_limited = not options.no_limit
    if is_limited:
        enter(options.limit)
    start = time.monotonic()
    done = subprocess.run(
        [caviar, "run", "large.toml", "--slots", "2", "--json"], cwd=options.folder,
        env={**os.environ, "TMPDIR": options.folder}, stdout=subprocess.PIPE, check=True,
    )
    seconds = time.monotonic() - start
    found = json.loads(done.stdout)
    score = found["best"]["counting"]["validation"]
    print(f"{os.path.getsize(table) / 1e9:.2f} GB, {found['data']['train']} training rows")
    print(f"{seconds:.0f} s, at most {peak(is_limited) / 1e6:.0f} MB; validation {score}")


if __name__ == "__main__":
    main()
