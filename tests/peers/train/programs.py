"""Caviar's own programs: where the repository is, and a release build of what is compared."""
import json
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]


def build(package, *target):
    """Builds one executable and returns its path: build("caviar-nn", "--example", "steps").

    Cargo reports the path, so a custom target directory works too.
    """
    command = ["cargo", "build", "--release", "--package", package, *target]
    built = subprocess.run([*command, "--message-format", "json"], cwd=REPOSITORY,
                           stdout=subprocess.PIPE, text=True, check=True)
    messages = map(json.loads, built.stdout.splitlines())
    return next(Path(m["executable"]) for m in messages
                if m.get("target", {}).get("name") == target[-1] and m.get("executable"))
