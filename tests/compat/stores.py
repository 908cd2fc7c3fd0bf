"""Stores that one build writes and another opens: complete, interrupted, and in format 1."""

import contextlib
import pathlib
import shutil
import sqlite3
import sys
import tempfile
import time

import external
import exports
import sweeps
from programs import Failure

STORE = "caviar.db"
FINAL = {"completed", "cancelled"}
# The sweeps of the store with several completed sweeps.
COMPLETE = {"zoom", "random", "diverging", "wide", "warm"}
# The interrupted run is killed when about this many of its 60 trials have ended.
ENDED_BEFORE_KILL = 20


def make(programs, out, proto):
    """Writes one folder for each store into `out`."""
    complete = _folder(out, "complete") / STORE
    for sweep in sweeps.strategies() + sweeps.special_sweeps(out):
        if sweep.name in COMPLETE:
            run_text(programs, sweep, complete)
    interrupted = _folder(out, "interrupted") / STORE
    _interrupt(programs, interrupted)
    for source in ("complete", "interrupted"):
        _make_format_1(out / source, _folder(out, f"format-1-{source}") / STORE)
    if external.missing():
        print(f"skipped: the external store needs the Python module {external.missing()}")
        return
    _interrupt_external(programs, _folder(out, "external") / STORE, proto)


def resume(programs, stores, out, proto):
    """Opens a copy of each store below `stores`, finishes its sweeps, and writes their exports
    before and after. Returns the exit code. A store that fails does not stop the others."""
    failed = 0
    for folder in sorted(path for path in stores.iterdir() if (path / STORE).exists()):
        for left in out.glob(f"{folder.name}.*.json"):
            left.unlink()
        try:
            unfinished = _write_before(programs, folder, out)
            resumed, count = _write_after(programs, folder, out, unfinished, proto)
            print(f"{folder.name}: {count} sweeps, {resumed} of them resumed", flush=True)
        except Exception as error:  # gRPC's errors too
            failed = 1
            print(f"{folder.name}: failed: {error}", file=sys.stderr)
    return failed


def _write_before(programs, folder, out):
    """Writes the exports of a store as it was left; returns its unfinished sweeps."""
    with _copied(folder) as store:
        listed = programs.list(store)
        exports.write(out / f"{folder.name}.list-before.json", listed, _folders(store))
        unfinished = [sweep for sweep in listed if sweep["state"] not in FINAL]
        for sweep in unfinished:
            path = out / f"{folder.name}.{sweep['name']}-before.json"
            exports.write(path, programs.export(sweep["name"], store), _folders(store))
    return unfinished


def _write_after(programs, folder, out, unfinished, proto):
    """Finishes the sweeps in another copy of the store, and writes the exports of all sweeps.
    Returns the number of resumed sweeps and of all sweeps."""
    with _copied(folder) as store:
        resumed = sum(_resume(programs, sweep, store, proto) for sweep in unfinished)
        listed = programs.list(store)
        exports.write(out / f"{folder.name}.list.json", listed, _folders(store))
        for sweep in listed:
            path = out / f"{folder.name}.{sweep['name']}.json"
            exports.write(path, programs.export(sweep["name"], store), _folders(store))
    return resumed, len(listed)


def run_text(programs, sweep, store):
    """Runs a sweep to its end in a store; returns the export."""
    with tempfile.TemporaryDirectory() as work:
        file = pathlib.Path(work) / f"{sweep.name}.toml"
        file.write_text(sweep.text, encoding="utf-8")
        code, _, err = programs.run(store, file, "--slots", sweep.slots)
    if not store.exists():
        raise Failure(f"caviar run ended with {code}:\n{err}")
    return completed(programs, sweep.name, store, f"caviar run ended with {code}:\n{err}")


def completed(programs, name, store, otherwise=""):
    """The export of a sweep, which must be completed."""
    export = programs.export(name, store)
    if export["state"] != "completed":
        raise Failure(f"{name} is {export['state']}, not completed. {otherwise}")
    return export


def _folder(out, name):
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


@contextlib.contextmanager
def _copied(folder):
    """A copy of a store. Opening a store, even to read it, empties its write-ahead log."""
    with tempfile.TemporaryDirectory() as work:
        shutil.copytree(folder, work, dirs_exist_ok=True)
        yield pathlib.Path(work) / STORE


def _interrupt(programs, store):
    """Kills a run midway. The write-ahead log stays next to the store, as after a crash."""
    process = programs.start_run(store, sweeps.EXAMPLES / "digits.toml", "--slots", 1)
    log = store.with_name(f"{STORE}-wal")
    end = time.monotonic() + 600
    while process.poll() is None and time.monotonic() < end:
        # The store is locked, so its log is read as bytes. The log may contain a page twice, so
        # the count is approximate.
        if log.exists() and log.read_bytes().count(b'"trial_finished"') >= ENDED_BEFORE_KILL:
            break
        time.sleep(0.01)
    process.kill()
    process.wait()
    with _copied(store.parent) as copy:
        state = programs.export("digits", copy)["state"]
    if not log.exists() or state in FINAL:
        raise Failure(f"the run was not killed midway: it is {state}; try again")


def _interrupt_external(programs, store, proto):
    """Kills a coordinator while an external client holds a trial."""
    with programs.coordinator(store) as coordinator:
        client = external.Client(proto, coordinator.url)
        client.create()
        client.drive(most=6)
        client.abandon()
        coordinator.kill()
    store.with_name(f"{STORE}.log").unlink()


def _make_format_1(source, store):
    """Removes what format 2 added to a store: the column `named` of the table `metrics`."""
    for path in source.iterdir():
        shutil.copy(path, store.parent)
    connection = sqlite3.connect(store)
    connection.execute("ALTER TABLE metrics DROP COLUMN named")
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()


def _folders(store):
    return {str(store.parent): "WORK"}


def _resume(programs, sweep, store, proto):
    """Finishes a sweep. Returns False if that was skipped."""
    name, said = sweep["name"], ""
    if sweep["spec"]["data"]["source"] != "external":
        _, _, said = programs.run(store, "--resume", "--name", name)
    elif external.missing():
        print(f"skipped: {name} needs the Python module {external.missing()}")
        return False
    else:
        _drive_external(programs, store, proto)
    completed(programs, name, store, said)
    return True


def _drive_external(programs, store, proto):
    with programs.coordinator(store) as coordinator:
        external.Client(proto, coordinator.url).drive()
