"""Several clients in one process, which count the trials that they finish."""
import json
import sys
import threading
import time


def serve(start, run_trial):
    """Starts the clients, waits for the number of seconds on standard input, and runs trials.

    `start(address)` returns what a client needs, and `run_trial` runs a trial with it.
    """
    address, count = sys.argv[1], int(sys.argv[2])
    clients = [start(address) for _ in range(count)]
    print("ready", flush=True)
    seconds = float(sys.stdin.readline())
    began, finished = time.monotonic(), [0] * count

    def run(place):
        while time.monotonic() - began < seconds:
            run_trial(clients[place])
            finished[place] += 1

    threads = [threading.Thread(target=run, args=(place,)) for place in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"trials": sum(finished), "seconds": time.monotonic() - began}))
