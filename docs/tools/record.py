#!/usr/bin/env python3
"""Records a command in a terminal of 80 columns as an animated SVG. Needs Python 3.9, nothing else.

    cargo build --release --bin caviar
    python3 docs/tools/record.py                     writes docs/images/run.svg
    python3 docs/tools/record.py --out x.svg -- caviar run examples/letters.toml

The command runs in a temporary folder that has a copy of `examples/`, with `target/release` first
in PATH, so the picture shows the same words as a user's terminal. The recording plays in real
time, shows the final screen for eight seconds, and begins again.
"""

import argparse
import pathlib
import re
import shlex
import shutil
import sys
import tempfile
from xml.sax.saxutils import escape

import terminal

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMMAND = ["caviar", "run", "examples/digits.toml"]
CELL_WIDTH, CELL_HEIGHT, MARGIN = 8.4, 18, 16
BACKGROUND, FOREGROUND = "#14181f", "#d8dee9"
COLOURS = {"30": "#4c566a", "31": "#e06c75", "32": "#98c379", "33": "#e5c07b", "34": "#61afef",
           "35": "#c678dd", "36": "#56b6c2", "37": "#d8dee9", "90": "#7b8496", "91": "#e06c75",
           "92": "#98c379", "93": "#e5c07b", "94": "#61afef", "95": "#c678dd", "96": "#56b6c2",
           "97": "#ffffff"}
# Seconds that the prompt is shown before the run, and the final screen after it.
BEFORE, AFTER = 0.8, 8.0
# The least time between two frames in seconds, and the number of frames. Others are merged.
SHORTEST, MOST = 0.09, 60


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--columns", type=int, default=80)
    parser.add_argument("--rows", type=int, default=50)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "docs/images/run.svg")
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "target/release",
                        help="the folder that contains the program")
    parser.add_argument("command", nargs="*", default=COMMAND)
    return parser.parse_args()


def thinned(frames):
    """Leaves out frames that are soon followed by another one, but never the last."""
    kept, shortest = [], max(SHORTEST, frames[-1][0] / MOST)
    for moment, frame in frames:
        if kept and moment - kept[-1][0] < shortest:
            kept[-1] = (kept[-1][0], frame)
        else:
            kept.append((moment, frame))
    return kept


def with_prompt(frames, command):
    """Puts the command line above every frame, and a frame that shows only the command line."""
    prompt = (("$ ", ("92", False, False)), (shlex.join(command), ("", True, False)))
    shown = [(0.0, (prompt,))]
    return shown + [(BEFORE + moment, (prompt, *frame)) for moment, frame in frames]


def line_svg(line):
    """One line of the terminal: a <text> for each group of words, stretched to its cells.

    Wide gaps are not part of any <text>, because renderers disagree about spaces in SVG.
    """
    parts, column = [], 0
    for text, (colour, bold, dim) in line:
        fill = f' fill="{COLOURS[colour]}"' if colour in COLOURS else ""
        weight = ' font-weight="bold"' if bold else ""
        opacity = ' opacity="0.6"' if dim else ""
        for words in re.finditer(r"\S+(?: \S+)*", text):
            x = round((column + words.start()) * CELL_WIDTH, 1)
            width = round(len(words.group()) * CELL_WIDTH, 1)
            parts.append(f'<text x="{x}" textLength="{width}"{fill}{weight}{opacity}>'
                         f'{escape(words.group())}</text>')
        column += len(text)
    return "".join(parts)


def svg(frames, columns):
    """The animation: a strip of all frames, one below the other, with one in view at a time."""
    rows = max(len(frame) for _, frame in frames)
    width, height = columns * CELL_WIDTH + 2 * MARGIN, rows * CELL_HEIGHT + 2 * MARGIN
    total = frames[-1][0] + AFTER
    numbers, uses = {}, []
    for index, (_, frame) in enumerate(frames):
        for row, line in enumerate(frame):
            if line:
                number = numbers.setdefault(line, len(numbers))
                y = round(index * height + MARGIN + (row + 0.75) * CELL_HEIGHT, 1)
                uses.append(f'<use href="#l{number}" x="{MARGIN}" y="{y}"/>')
    lines = "\n".join(f'<g id="l{n}">{line_svg(line)}</g>' for line, n in numbers.items())
    steps = [f"{100 * moment / total:.3f}%{{transform:translateY({-round(i * height, 1)}px)}}"
             for i, (moment, _) in enumerate(frames)]
    last = -round((len(frames) - 1) * height, 1)
    return f"""<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" \
viewBox="0 0 {width:.0f} {height:.0f}">
<style>
text{{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}}
.strip{{transform:translateY({last}px);animation:play {total:.2f}s step-end infinite}}
@keyframes play{{{"".join(steps)}100%{{transform:translateY({last}px)}}}}
@media (prefers-reduced-motion:reduce){{.strip{{animation:none}}}}
</style>
<defs>
{lines}
</defs>
<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>
<g class="strip" fill="{FOREGROUND}">
{"".join(uses)}
</g>
</svg>
"""


def main():
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "examples", pathlib.Path(folder) / "examples")
        code, screen, frames = terminal.run(options.command, options.columns, options.rows, folder,
                                            options.bin.resolve())
    if code != 0:
        print(screen.text(), file=sys.stderr)
        sys.exit(f"error: {shlex.join(options.command)} ended with code {code}")
    frames = with_prompt(thinned(frames), options.command)
    options.out.write_text(svg(frames, options.columns), encoding="utf8")
    print(f"{options.out}: {len(frames)} frames, {options.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
