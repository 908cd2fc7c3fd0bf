#!/usr/bin/env python3
"""Draws docs/images/results.svg from the tables of the book. Needs Python 3.9, nothing else.

    python3 docs/tools/chart.py            writes the picture
    python3 docs/tools/chart.py --check    exits with 1 if the picture does not match the tables

The figures come from the tables below the marks `<!-- chart: trials -->` in docs/performance.md and
`<!-- chart: regret -->` in docs/search.md.
"""

import pathlib
import re
import sys

DOCS = pathlib.Path(__file__).resolve().parents[1]
OUT = DOCS / "images/results.svg"
OURS, THEIRS, TEXT, QUIET = "#0969da", "#afb8c1", "#24292f", "#57606a"
WIDTH, BAR, STEP = 760, 18, 34
STYLE = (f'text{{font:13px system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;'
         f"fill:{TEXT}}}.title{{font-weight:600;font-size:15px}}.quiet{{fill:{QUIET}}}")


def table(file, mark):
    """The rows below a mark, each a list of cells, without the header."""
    text = (DOCS / file).read_text(encoding="utf8")
    lines = text.split(f"<!-- chart: {mark} -->\n", 1)[1].split("\n")
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows[2:]


def number(cell):
    """The first number in a cell."""
    return float(re.search(r"[\d.]+", cell).group())


def bar(x, y, width, colour):
    return (f'<rect x="{x}" y="{y}" width="{max(width, 1):.1f}" height="{BAR}" rx="2" '
            f'fill="{colour}"/>')


def text(x, y, words, kind="", anchor="start"):
    return f'<text x="{x}" y="{y}" class="{kind}" text-anchor="{anchor}">{words}</text>'


def trials(top):
    """Trials per hour, relative to eager PyTorch."""
    eager, compiled = (number(row[1]) for row in table("performance.md", "trials"))
    bars = [("Caviar", eager, OURS), ("PyTorch, eager", 1, THEIRS),
            ("PyTorch, compiled", eager / compiled, THEIRS)]
    parts = [text(20, top, "Trials per hour, digits, two cores (higher is better)", "title")]
    for i, (name, value, colour) in enumerate(bars):
        y = top + 14 + i * STEP
        parts += [text(160, y + 13, name, anchor="end"),
                  bar(170, y, 440 * value / eager, colour),
                  text(178 + 440 * value / eager, y + 13, f"{value:.2g}x", "quiet")]
    return parts, top + 14 + len(bars) * STEP


def regret(top):
    """Regret of zoom as a fraction of that of Optuna's TPE, which is 1."""
    rows = [(row[0], number(row[2])) for row in table("search.md", "regret")]
    parts = [text(20, top, "Regret relative to Optuna's TPE (lower is better)", "title"),
             text(20, top + 27, "Optuna's TPE"), bar(370, top + 14, 240, THEIRS),
             text(618, top + 27, "1", "quiet")]
    for i, (name, value) in enumerate(rows, 1):
        y = top + 14 + i * STEP * 0.8
        parts += [text(20, y + 13, f"Caviar, {name}"), bar(370, y, 240 * value, OURS),
                  text(378 + 240 * value, y + 13, f"{value:g}", "quiet")]
    return parts, top + 14 + (len(rows) + 1) * STEP * 0.8


def picture():
    first, bottom = trials(34)
    second, bottom = regret(bottom + 34)
    height = round(bottom + 14)
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}">',
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" rx="6" fill="#ffffff"/>',
        *first, *second, "</svg>", ""])


def main():
    drawn = picture()
    if "--check" in sys.argv[1:]:
        if not OUT.exists() or OUT.read_text(encoding="utf8") != drawn:
            sys.exit(f"error: {OUT} is out of date: run python3 docs/tools/chart.py")
        return
    OUT.write_text(drawn, encoding="utf8")
    print(OUT)


if __name__ == "__main__":
    main()
