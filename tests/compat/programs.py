"""The programs of one build, started as a user starts them."""

import json
import os
import pathlib
import re
import signal
import subprocess
import time

# The timeout of a command in seconds. Each of these sweeps is faster, even on a busy machine.
PATIENCE = 1800


class Failure(Exception):
    """A program did not behave as expected."""


class Programs:
    """The folders of the three programs. Clients and workers may come from another build."""

    def __init__(self, bin_folder, worker_folder=None, client_folder=None):
        self.folder = pathlib.Path(bin_folder).resolve()
        self.worker_folder = pathlib.Path(worker_folder or bin_folder).resolve()
        self.client_folder = pathlib.Path(client_folder or bin_folder).resolve()

    def caviar(self, *arguments, remote=False):
        """Runs `caviar` and returns its exit code, standard output and standard error."""
        folder = self.client_folder if remote else self.folder
        command = [str(folder / "caviar"), *map(str, arguments)]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, env=_environment(),
                                   stdin=subprocess.DEVNULL, timeout=PATIENCE, check=False)
        except subprocess.TimeoutExpired as error:
            raise Failure(f"{' '.join(command)} has not ended in {PATIENCE} s") from error
        return ended.returncode, ended.stdout, ended.stderr

    def read(self, *arguments, remote=False):
        """Runs `caviar`, which must succeed, and returns the JSON that it wrote."""
        code, out, err = self.caviar(*arguments, remote=remote)
        if code != 0:
            raise Failure(f"caviar {' '.join(map(str, arguments))} ended with {code}:\n{err}")
        return json.loads(out)

    def export(self, name, store):
        """The export of a sweep, from a store that no program has open."""
        return self.read("export", name, "--format", "json", "--store", store)

    def list(self, store):
        """All sweeps of a store that no program has open."""
        return self.read("list", "--json", "--store", store)

    def run(self, store, *arguments):
        """Runs `caviar run`. Its exit code is 1 if no trial completed, so only the export shows
        whether the sweep completed."""
        return self.caviar("run", *arguments, "--store", store)

    def start_run(self, store, *arguments):
        """Starts `caviar run` and does not wait for it."""
        command = [str(self.folder / "caviar"), "run", *map(str, arguments), "--store", str(store)]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL, env=_environment())

    def worker(self, url):
        """Starts a worker with two slots."""
        command = [str(self.worker_folder / "caviar-worker"), "--coordinator", url,
                   "--name", "compat", "--slots", "2"]
        return Process(subprocess.Popen(command, stdin=subprocess.DEVNULL, env=_environment("warn"),
                                        stderr=subprocess.DEVNULL))

    def coordinator(self, store):
        """Starts a coordinator on any free port."""
        return Coordinator(self.folder / "caviar-coordinator", store)


class Process:
    """A process that does not outlive the block that it is used in."""

    def __init__(self, process):
        self.process = process

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self):
        """Ends it as `kill -9` does."""
        self.process.kill()
        self.process.wait()


class Coordinator(Process):
    """A coordinator, and the address on which it listens."""

    def __init__(self, program, store):
        log = pathlib.Path(f"{store}.log")
        with log.open("w", encoding="utf-8") as stderr:
            command = [str(program), "--listen", "127.0.0.1:0", "--store", str(store)]
            # Releases before TLS never encrypt.
            about = subprocess.run([str(program), "--help"], stdout=subprocess.PIPE, check=True)
            command += ["--insecure"] if b"--insecure" in about.stdout else []
            super().__init__(subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=stderr,
                                              env=_environment("info")))
        self.url = self._listening(log)

    def _listening(self, log):
        end = time.monotonic() + 60
        while time.monotonic() < end and self.process.poll() is None:
            found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text(encoding="utf-8"))
            if found:
                return found.group()
            time.sleep(0.05)
        self.kill()
        raise Failure(f"the coordinator does not listen:\n{log.read_text(encoding='utf-8')}")


def _environment(log="error"):
    """The environment without the variables that configure the programs."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CAVIAR_")}
    return environment | {"RUST_LOG": log}
