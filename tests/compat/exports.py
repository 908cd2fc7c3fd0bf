"""Converts exports to a form without the values that differ from run to run, and compares them."""

import json
import math
import pathlib

# Values that depend on time, on the machine or on the order in which workers were served. The key
# stays and its value becomes MASK, so that a renamed or missing field is still a difference.
VARYING = {"address", "attempts", "memory_bytes", "seconds", "worker"}
MASK = "(varies)"

# Times that older builds did not export. They are left out, so that old and new can be compared.
ADDED = {"started_at", "ended_at", "retrained_epochs"}

# Fields with a measured number that may be NaN or infinite.
LOSSES = {"loss", "train_loss", "validation_loss"}
NOT_FINITE_TEXTS = {"nan", "inf", "-inf", "infinity", "-infinity"}
NOT_FINITE = "(not finite)"

# Fields that a user wrote. They are not interpreted, because a choice may be the text "inf".
VERBATIM = {"assignment", "fixed", "name", "space"}


def normalised(value, folders):
    """The export without what varies. `folders` maps folders to the names that replace them."""
    if isinstance(value, dict):
        return _normalised_fields(value, folders)
    if isinstance(value, list):
        return [normalised(item, folders) for item in value]
    if isinstance(value, str):
        return _normalised_text(value, folders)
    if isinstance(value, float) and not math.isfinite(value):
        return NOT_FINITE
    return value


def _normalised_fields(fields, folders):
    """Unifies the ways to write a diverged loss: the text "NaN", and null with "diverged": true
    next to it. An objective that is NaN becomes None."""
    result = {}
    for key, value in fields.items():
        if key in ADDED or (key == "diverged" and isinstance(value, bool)):
            continue
        if key in VARYING:
            result[key] = MASK
        elif key in VERBATIM:
            result[key] = value
        elif key == "metrics" and isinstance(value, dict):
            result[key] = {name: _measured(number, folders) for name, number in value.items()
                           if not (name == "diverged" and isinstance(number, bool))}
        elif key in LOSSES:
            result[key] = _measured(value, folders)
        else:
            result[key] = normalised(value, folders)
    if result.get("objective") == NOT_FINITE:
        result["objective"] = None
    return result


def _measured(number, folders):
    return NOT_FINITE if number is None else normalised(number, folders)


def _normalised_text(text, folders):
    if text.lower() in NOT_FINITE_TEXTS:
        return NOT_FINITE
    for folder, name in folders.items():
        text = text.replace(folder, name)
    return text


def write(path, value, folders):
    """Writes the normalised value. Python writes the shortest text that reads back as the same
    float, so equal files mean equal numbers to the last bit."""
    text = json.dumps(normalised(value, folders), indent=1, sort_keys=True, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def compare(folder_a, folder_b):
    """The differences between two folders of exports: a list of (file, JSON path, a, b)."""
    files_a, files_b = ({p.name: p for p in pathlib.Path(f).glob("*.json")}
                        for f in (folder_a, folder_b))
    differences = []
    for name in sorted(files_a.keys() | files_b.keys()):
        if name not in files_a or name not in files_b:
            there = ["present" if name in files else "absent" for files in (files_a, files_b)]
            differences.append((name, "", *there))
            continue
        a, b = (json.loads(files[name].read_text(encoding="utf-8")) for files in (files_a, files_b))
        found = list(_differences("$", a, b))
        differences.extend((name, *difference) for difference in found)
        if not found and files_a[name].read_bytes() != files_b[name].read_bytes():
            differences.append((name, "", "same values", "other bytes"))
    return differences


def _differences(path, a, b):
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted(a.keys() | b.keys()):
            below = f"{path}.{key}"
            if key not in a:
                yield below, "(absent)", _text(b[key])
            elif key not in b:
                yield below, _text(a[key]), "(absent)"
            else:
                yield from _differences(below, a[key], b[key])
    elif isinstance(a, list) and isinstance(b, list):
        if len(a) != len(b):
            yield f"{path}.length", str(len(a)), str(len(b))
        for index, pair in enumerate(zip(a, b)):
            yield from _differences(f"{path}[{index}]", *pair)
    elif _text(a) != _text(b):
        # As text, because 1, 1.0 and True are equal in Python.
        yield path, _text(a), _text(b)


def _text(value):
    return json.dumps(value, sort_keys=True)
