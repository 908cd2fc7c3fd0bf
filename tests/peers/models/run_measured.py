"""Runs a command on one core: run_measured.py RESULT CORE COMMAND...

Writes the seconds, the peak memory in KiB and the exit code to RESULT. A process begins with the
peak of the process that has started it, so this is a process of its own, which imports little.
"""

import os
import sys
import time


def main():
    result, core, *command = sys.argv[1:]
    begun = time.monotonic()
    child = os.fork()
    if child == 0:
        os.sched_setaffinity(0, {int(core)})
        os.execvp(command[0], command)
    _, status, usage = os.wait4(child, 0)
    seconds = time.monotonic() - begun
    code = os.waitstatus_to_exitcode(status)
    with open(result, "w", encoding="utf-8") as file:
        file.write(f"{seconds} {usage.ru_maxrss} {code}")


if __name__ == "__main__":
    main()
