#!/usr/bin/env python3
"""Records the results of sweeps, so that two builds of Caviar can be compared.

    record.py --bin DIR --data DIR --out DIR       run all sweeps and write their exports
    record.py --bin DIR --make-stores DIR          write stores for another build to open
    record.py --bin DIR --resume DIR --out DIR     finish the sweeps of such stores, write exports
    record.py --compare DIR DIR                    print the differences of two folders of exports

--bin is the folder with caviar, caviar-coordinator and caviar-worker. --data holds letter.csv and
mnist10k/. External sweeps need the Python modules grpcio and grpcio-tools, and are skipped without.
The exit code is 1 if something failed or differs.
"""

import argparse
import pathlib
import sys
import tempfile

import exports
import external
import stores
import sweeps
from programs import Failure, Programs

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"


def main():
    arguments = parse()
    if arguments.compare:
        return show(exports.compare(*arguments.compare))
    programs = Programs(arguments.bin, arguments.worker_bin, arguments.client_bin)
    if arguments.make_stores:
        stores.make(programs, prepared(arguments.make_stores), arguments.proto)
        return 0
    out = prepared(arguments.out)
    if arguments.resume:
        return stores.resume(programs, arguments.resume.resolve(), out, arguments.proto)
    return record(programs, arguments, out)


def parse():
    folder = {"type": pathlib.Path, "metavar": "DIR"}
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bin", **folder, help="the programs")
    parser.add_argument("--data", **folder, help="letter.csv and mnist10k/")
    parser.add_argument("--out", **folder, help="where the exports are written")
    parser.add_argument("--only", metavar="NAMES", help="these sweeps, separated by commas")
    parser.add_argument("--worker-bin", **folder, help="the worker of another build")
    parser.add_argument("--client-bin", **folder, help="the client of another build")
    parser.add_argument("--proto", default=PROTO, **folder,
                        help="the .proto files that the client of external sweeps is made from")
    parser.add_argument("--make-stores", **folder, help="write stores for another build to open")
    parser.add_argument("--resume", **folder, help="finish the sweeps of the stores in this folder")
    parser.add_argument("--compare", nargs=2, **folder, help="two folders with exports")
    arguments = parser.parse_args()
    if not arguments.compare:
        needed = ["bin"]
        if not arguments.make_stores:
            needed += ["out"] if arguments.resume else ["data", "out"]
        absent = [f"--{name}" for name in needed if getattr(arguments, name) is None]
        if absent:
            parser.error(f"{' and '.join(absent)} must be given")
    return arguments


def prepared(folder):
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def show(differences):
    """Prints the differences; returns the exit code."""
    for file, path, a, b in differences:
        print(f"{file}  {path}  {a}  ->  {b}")
    print(f"{len(differences)} differences" if differences else "no difference", file=sys.stderr)
    return 1 if differences else 0


def record(programs, arguments, out):
    """Runs the sweeps; returns the exit code. A sweep that fails does not stop the others."""
    only = set(arguments.only.split(",")) if arguments.only else None
    data, failed = arguments.data.resolve(), []
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        folders = {str(data): "DATA", str(work): "WORK"}
        jobs = {sweep.name: lambda sweep=sweep: export_of(programs, sweep, work)
                for sweep in sweeps.all_sweeps(data, work)}
        jobs[external.NAME] = lambda: external_export(programs, work, arguments.proto)
        for name in (only or set()) - jobs.keys():
            raise SystemExit(f"--only {name}: there are {', '.join(jobs)}")
        for name, job in jobs.items():
            if only and name not in only:
                continue
            # The export of an earlier recording must not pass for that of this one.
            (out / f"{name}.json").unlink(missing_ok=True)
            try:
                export = job()
            except Exception as error:  # gRPC's errors too
                failed.append(name)
                print(f"{name}: failed: {error}", file=sys.stderr)
                continue
            if export:
                exports.write(out / f"{name}.json", export, folders)
                print(f"{name}: {len(export['trials'])} trials", flush=True)
    return 1 if failed else 0


def export_of(programs, sweep, work):
    """Runs a sweep in its own store, or in that of the sweep that it follows."""
    store = work / f"{sweep.after or sweep.name}.db"
    if sweep.after and not store.exists():
        raise Failure(f"it needs the sweep {sweep.after}: record that one too")
    if not sweep.processes:
        return stores.run_text(programs, sweep, store)
    file = work / f"{sweep.name}.toml"
    file.write_text(sweep.text, encoding="utf-8")
    with programs.coordinator(store) as coordinator, programs.worker(coordinator.url):
        at = ("--coordinator", coordinator.url)
        programs.read("submit", file, "--json", *at, remote=True)
        code, _, err = programs.caviar("watch", sweep.name, *at, remote=True)
        if code != 0:
            raise Failure(f"caviar watch ended with {code}:\n{err}")
        return programs.read("export", sweep.name, "--json", *at, remote=True)


def external_export(programs, work, proto):
    """Runs the external sweep, or reports why it is skipped."""
    if external.missing():
        print(f"{external.NAME}: skipped: the Python module {external.missing()} is not installed")
        return None
    store = work / f"{external.NAME}.db"
    with programs.coordinator(store) as coordinator:
        client = external.Client(proto, coordinator.url)
        client.create()
        client.drive()
    return stores.completed(programs, external.NAME, store)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(f"error: {failure}")
