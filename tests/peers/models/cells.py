"""Raw cells as the inputs of a model, by what its config.json says.

Nothing here asks Caviar. `Cells` reads the columns of a table, `raw_inputs` makes the inputs of
model.onnx, and `features` the encoded inputs of model-core.onnx and model.safetensors.
"""

import csv
import datetime
import math
import re

import numpy

MISSING = {"", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null", "?"}
MISSING_AMONG_NUMBERS = MISSING | {"None", "none", ".", "-", "--", "N.A."}
# The words of the boolean forms that are read as 1.
YES = {"true", "yes", "t", "y", "on"}
# The separators between thousands, by their name in config.json. "mark" is the mark that is not
# the decimal one.
THOUSANDS = {
    "blank": " ",
    "apostrophe": "'",
    "quote": "\u2019",
    "no_break_space": "\u00a0",
    "narrow_no_break_space": "\u202f",
}
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
# The outputs of model.onnx. A column of such a name has another one as an input.
RESERVED = {"label", "probabilities"}
EPOCH = datetime.date(1970, 1, 1).toordinal()
# Values farther from the mean than this many deviations are limited.
FARTHEST = 1e6


def read_table(path, has_header=True):
    """The names of the columns and the rows of a table with commas."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    if has_header:
        return rows[0], rows[1:]
    return [f"column{place + 1}" for place in range(len(rows[0]))], rows


def number(form, cell):
    """A number in the form of its column."""
    form = form or {"thousands": "none", "decimal": "point", "percent": False}
    mark, other = (".", ",") if form["decimal"] == "point" else (",", ".")
    if form["percent"]:
        cell = cell.removesuffix("%").rstrip(" \u00a0\u202f")
    if form["thousands"] != "none":
        cell = cell.replace(THOUSANDS.get(form["thousands"], other), "")
    text = cell.replace(mark, ".")
    return float(text + "e-2" if form["percent"] else text)


def fraction_of_day(text):
    found = re.fullmatch(r"(\d+):(\d+)(?::(\d+(?:\.\d+)?))?\s*([AaPp][Mm])?", text.strip())
    hour, minute, second, half = found.groups()
    hour = int(hour) % 12 + 12 * (half.lower() == "pm") if half else int(hour)
    return (hour * 3600 + int(minute) * 60 + float(second or 0)) / 86400


def date(form, cell):
    """Days since 1970-01-01, of the forms that begin with numbers."""
    name = form if isinstance(form, str) else next(iter(form))
    if name == "time_of_day":
        return fraction_of_day(cell)
    day, _, time = cell.replace("T", " ").replace(",", " ").partition(" ")
    orders = {
        "year_month_day": (0, 1, 2),
        "month_day_year": (2, 0, 1),
        "day_month_year": (2, 1, 0),
        "year_month": (0, 1, None),
    }
    if name not in orders:
        raise ValueError(f"dates of the form {name} are not known here")
    parts = [int(part) for part in re.split(r"[-/.]", day)]
    year, month, day = (1 if place is None else parts[place] for place in orders[name])
    if year < 100:
        year += 1900 if year >= 69 else 2000
    days = datetime.date(year, month, day).toordinal() - EPOCH
    return days + (fraction_of_day(time) if time.strip() else 0)


class Cells:
    """The columns of the inputs of a model: numbers with NaN, or texts without blanks."""

    def __init__(self, config, names, rows):
        schema = config["schema"]
        self.schema = schema
        self.own_missing = {text.strip() for text in schema.get("missing", [])}
        self.columns = []
        for column in schema["columns"]:
            place = names.index(column["name"])
            cells = [row[place].strip() for row in rows]
            if column["type"] == "category":
                self.columns.append(cells)
            else:
                values = [self.value(column, cell) for cell in cells]
                self.columns.append(numpy.array(values, dtype=numpy.float64))

    def value(self, column, cell):
        if cell in self.own_missing or cell in MISSING_AMONG_NUMBERS:
            return math.nan
        form = column.get("form", {}).get(column["type"])
        if column["type"] == "boolean":
            return float(cell.lower() in YES)
        return (number if column["type"] == "number" else date)(form, cell)


def raw_inputs(cells):
    """The inputs of model.onnx, whose names are those of the columns."""
    inputs = {}
    for column, values in zip(cells.schema["columns"], cells.columns):
        name = column["name"]
        if name in RESERVED:
            name = "input_" + name
        is_text = column["type"] == "category"
        values = list(values) if is_text else values.tolist()
        inputs[name] = {"type": "string" if is_text else "double", "width": 1, "values": values}
    return inputs


def features(cells):
    """The encoded inputs, 32-bit floats."""
    blocks = []
    schema = cells.schema
    for column, encoding, values in zip(
        schema["columns"], schema["encoder"]["Columns"], cells.columns
    ):
        (kind, rule), = encoding.items()
        if column["type"] == "category":
            blocks.append(category(column, kind, rule, values, MISSING | cells.own_missing))
        elif kind == "Number":
            blocks.append(standardised(rule["number"], values))
        elif kind == "Binary":
            blocks.append(boolean(rule, values))
        else:
            blocks.append(dates(kind, rule, values))
    return numpy.concatenate(blocks, axis=1).astype(numpy.float32)


def pixels(config, rows):
    """The encoded inputs of images."""
    standards = config["schema"]["encoder"]["Pixels"]
    means = numpy.array([standard["mean"] for standard in standards])
    scales = numpy.array([standard["scale"] for standard in standards])
    return numpy.clip((rows - means) * scales, -FARTHEST, FARTHEST).astype(numpy.float32)


def standardised(rule, values):
    mean, scale = rule["standard"]["mean"], rule["standard"]["scale"]
    missing = numpy.isnan(values)
    filled = numpy.where(missing, rule["median"] if rule["has_indicator"] else mean, values)
    encoded = [numpy.clip((filled - mean) * scale, -FARTHEST, FARTHEST)]
    return numpy.stack(encoded + [missing] * rule["has_indicator"], axis=1)


def boolean(rule, values):
    missing = numpy.isnan(values)
    encoded = numpy.where(missing, 0.0, numpy.where(values == rule["positive"], 1.0, -1.0))
    return numpy.stack([encoded] + [missing] * rule["has_indicator"], axis=1)


def category(column, kind, rule, texts, missing):
    """One row for each category, for a missing value and for an unknown text."""
    categories = column["categories"]
    codes = {text: code for code, text in enumerate(categories)}
    places = [codes.get(text, -2 if text in missing else -1) for text in texts]
    if kind == "Embedded":
        numbers = [*rule["numbers"], rule["missing"], rule["unknown"]]
        return numpy.array(numbers)[places][:, None]
    width = rule["width"] if kind == "OneHot" else 1 + rule["has_indicator"]
    table = numpy.zeros((len(categories) + 2, width))
    for code in range(len(categories)):
        if kind == "Binary":
            table[code, 0] = 1 if code == rule["positive"] else -1
        elif rule["slots"][code] is not None:
            table[code, rule["slots"][code]] = 1
    gap = (1 if rule["has_indicator"] else None) if kind == "Binary" else rule["missing"]
    if gap is not None:
        table[-2, gap] = 1
    return table[places]


def dates(kind, rule, values):
    blocks = []
    if kind == "Date":
        blocks.append(standardised(rule["days"], values))
        values = numpy.where(numpy.isnan(values), rule["days"]["median"], values)
    parts = [name for name in ("year", "week", "day") if rule["parts"][name]]
    rows = numpy.zeros((len(values), 2 * len(parts)))
    for row, days in zip(rows, values):
        if not math.isnan(days):
            fractions = fractions_of(days)
            angles = [2 * math.pi * fractions[name] for name in parts]
            row[:] = [curve(angle) for angle in angles for curve in (math.sin, math.cos)]
    return numpy.concatenate(blocks + [rows], axis=1)


def fractions_of(days):
    whole = math.floor(days)
    of_day = days - whole
    day = datetime.date.fromordinal(EPOCH + whole)
    start = datetime.date(day.year, 1, 1).toordinal()
    length = datetime.date(day.year, 12, 31).toordinal() - start + 1
    return {
        "year": (EPOCH + whole - start + of_day) / length,
        "week": (day.weekday() + of_day) / 7,
        "day": of_day,
    }
