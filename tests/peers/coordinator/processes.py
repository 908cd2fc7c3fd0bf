"""Processes of a comparison: servers, and clients that begin at the same moment."""
import contextlib
import json
import pathlib
import subprocess
import sys
import time

FOLDER = pathlib.Path(__file__).resolve().parent
# Python processes that share the clients. More of them would only compete for the cores.
PROCESSES = 8
# Seconds that a process may take to start or to end.
PATIENCE = 120


@contextlib.contextmanager
def running(command, **options):
    """A process that ends with the block."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **options)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def wait_for(condition):
    """Waits until `condition` returns something that is true, and returns it."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end, "a process does not start"
        time.sleep(0.01)
    return found


def trials_per_second(program, address, clients, seconds):
    """The rate at which the clients of a Python program finish trials."""
    count = min(clients, PROCESSES)
    shares = [clients // count + (place < clients % count) for place in range(count)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    commands = [[sys.executable, FOLDER / program, address, str(share)] for share in shares]
    processes = [subprocess.Popen(command, **pipes) for command in commands]
    try:
        for process in processes:
            assert process.stdout.readline() == "ready\n", f"{program} does not start"
        for process in processes:
            print(seconds, file=process.stdin, flush=True)
        outputs = [process.communicate(timeout=seconds + PATIENCE)[0] for process in processes]
        return sum(rate(output) for output in outputs)
    finally:
        for process in processes:
            process.kill()


def rate(output):
    result = json.loads(output)
    return result["trials"] / result["seconds"]
