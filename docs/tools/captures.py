#!/usr/bin/env python3
"""Writes docs/terminal.md: what the commands print at 80 and at 120 columns.

    cargo build --release --bin caviar
    python3 docs/tools/captures.py

It runs a sweep in a temporary folder, starts a coordinator and a worker on it, and captures each
command in a pseudo-terminal. Times and ports differ from run to run. Needs Python 3.9, nothing
else.
"""

import argparse
import os
import pathlib
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import terminal

ROOT = pathlib.Path(__file__).resolve().parents[2]
WIDTHS = (80, 120)
# Heading, command, and how many lines are shown at most.
COMMANDS = [
    ("Status", "caviar status digits", 40),
    ("List", "caviar list", 10),
    ("Trials", "caviar trials digits --top 8", 14),
    ("Best", "caviar best digits", 20),
    ("Explain", "caviar explain digits 42", 24),
    ("Importance", "caviar importance digits", 20),
    ("Workers", "caviar workers", 10),
]
INTRODUCTION = """# The terminal

What the commands print in a terminal of 80 and of 120 columns. Tables and bars fit the width: they
drop or shorten columns in a fixed order and never wrap. `TERM=dumb`, and a pipe, get plain lines.

This page is written by `python3 docs/tools/captures.py`.
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(command, folder, environment):
    """Starts a program in the background; its log goes to a file in the folder."""
    log = open(pathlib.Path(folder) / "log", "ab")
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)


def wait_for_worker(folder, environment):
    """Waits until the coordinator lists a worker."""
    for _ in range(100):
        listed = subprocess.run(["caviar", "workers", "--json"], cwd=folder, env=environment,
                                capture_output=True, text=True, check=False)
        if listed.returncode == 0 and '"worker' in listed.stdout:
            return
        time.sleep(0.1)
    raise SystemExit(f"error: no worker: {(pathlib.Path(folder) / 'log').read_text()}")


def middle_of(frames):
    """The frame in the middle of a run that shows the most."""
    shown = [frame for _, frame in frames[len(frames) // 3: -1]]
    best = max(shown, key=len)
    return "\n".join("".join(text for text, _ in line) for line in best)


def section(heading, command, width, text, most):
    lines = text.split("\n")
    if len(lines) > most:
        lines = lines[:most] + ["..."]
    body = "\n".join(line.rstrip() for line in lines)
    return f"### {heading}, {width} columns\n\n```text\n$ {command}\n{body}\n```\n"


def captured_run(folder, width, binary):
    """The bars of a run in its middle, and its final screen."""
    command = "caviar run examples/digits.toml"
    for old in pathlib.Path(folder).glob("caviar.db*"):
        old.unlink()
    code, screen, frames = terminal.run(shlex.split(command), width, 50, folder, binary)
    if code != 0:
        raise SystemExit(f"error: {command}: {screen.text()}")
    return [section("In the middle of a run", command, width, middle_of(frames), 20),
            section("The end of a run", command, width, screen.text(), 60)]


def captured_commands(folder, binary):
    port = free_port()
    address = f"127.0.0.1:{port}"
    path = f"{binary}{os.pathsep}{os.environ['PATH']}"
    os.environ["CAVIAR_COORDINATOR"] = address
    environment = {**os.environ, "PATH": path}
    programs = [start(["caviar", "coordinator", "--listen", address, "--store", "caviar.db"],
                      folder, environment),
                start(["caviar", "worker", "--coordinator", address, "--slots", "2", "--name",
                       "worker-1"], folder, environment)]
    sections = []
    try:
        wait_for_worker(folder, environment)
        for heading, command, most in COMMANDS:
            sections.append(f"## {heading}\n")
            for width in WIDTHS:
                code, screen, _ = terminal.run(shlex.split(command), width, 50, folder, binary)
                if code != 0:
                    raise SystemExit(f"error: {command}: {screen.text()}")
                sections.append(section(heading, command, width, screen.text(), most))
    finally:
        for program in programs:
            program.send_signal(signal.SIGTERM)
            program.wait()
    return sections


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "target/release",
                        help="the folder that contains the program")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "docs/terminal.md")
    options = parser.parse_args()
    binary = options.bin.resolve()
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "examples", pathlib.Path(folder) / "examples")
        sections = ["## Run\n"]
        for width in WIDTHS:
            sections += captured_run(folder, width, binary)
        sections += captured_commands(folder, binary)
    options.out.write_text("\n".join([INTRODUCTION, *sections]), encoding="utf8")
    print(options.out)


if __name__ == "__main__":
    main()
