"""A small terminal emulator: runs a command in a pseudo-terminal and interprets what it writes.

Used by record.py. It knows the control sequences that Caviar's output uses: carriage return, line
feed, cursor movement, erasing and colours. It ignores any other sequence.
"""

import fcntl
import os
import pty
import re
import select
import struct
import termios
import time

CONTROL = re.compile(rb"\x1b\[([?\d;]*)([A-Za-z])|\x1b[()][A-Z0-9]|\x1b[=>78]")
PLAIN = ("", False, False)


class Screen:
    """The lines that a command has written: one list of (character, style) for each line.

    A style is (colour, bold, dim). The screen never scrolls: it grows, so that nothing is lost.
    """

    def __init__(self, columns):
        self.columns = columns
        self.lines = [[]]
        self.row = self.column = 0
        self.style = PLAIN

    def feed(self, data):
        """Interprets bytes; returns the incomplete end, to be given again with the next bytes."""
        at = 0
        while at < len(data):
            if data[at] == 0x1B:
                match = CONTROL.match(data, at)
                if match is None:
                    if len(data) - at < 16:
                        return data[at:]
                    at += 1
                    continue
                if match.group(2):
                    self.control(match.group(1).decode(), match.group(2).decode())
                at = match.end()
                continue
            end = data.find(b"\x1b", at)
            end = len(data) if end < 0 else end
            try:
                text, rest = data[at:end].decode(), b""
            except UnicodeDecodeError as error:
                text, rest = data[at:at + error.start].decode(), data[at + error.start:end]
            for character in text:
                self.write(character)
            if rest and end == len(data) and len(rest) < 4:
                return rest
            at = end
        return b""

    def write(self, character):
        """Writes one character at the cursor; wraps at the right edge as a terminal does."""
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self.row += 1
        elif character == "\b":
            self.column = max(0, self.column - 1)
        elif character >= " ":
            if self.column >= self.columns:
                self.row, self.column = self.row + 1, 0
            line = self.line()
            line.extend([(" ", PLAIN)] * (self.column + 1 - len(line)))
            line[self.column] = (character, self.style)
            self.column += 1

    def line(self):
        """The line at the cursor, created if it does not exist yet."""
        while len(self.lines) <= self.row:
            self.lines.append([])
        return self.lines[self.row]

    def control(self, parameters, kind):
        """Carries out one control sequence."""
        numbers = [int(n) for n in parameters.strip("?").split(";") if n]
        count = max(1, numbers[0]) if numbers else 1
        if kind == "A":
            self.row = max(0, self.row - count)
        elif kind == "B":
            self.row += count
        elif kind == "C":
            self.column += count
        elif kind == "D":
            self.column = max(0, self.column - count)
        elif kind == "G":
            self.column = count - 1
        elif kind == "K":
            self.erase_line(numbers[0] if numbers else 0)
        elif kind == "J" and not (numbers and numbers[0]):
            self.erase_line(0)
            del self.lines[self.row + 1:]
        elif kind == "m":
            self.set_style(numbers or [0])

    def erase_line(self, part):
        """Erases the line: 0 from the cursor to its end, 2 all of it."""
        line = self.line()
        del line[0 if part == 2 else self.column:]

    def set_style(self, numbers):
        """Follows an SGR sequence: 16 colours, bold and dim."""
        colour, bold, dim = self.style
        for number in numbers:
            if number == 0:
                colour, bold, dim = PLAIN
            elif number in (1, 2):
                bold, dim = bold or number == 1, dim or number == 2
            elif number == 22:
                bold = dim = False
            elif 30 <= number <= 37 or 90 <= number <= 97:
                colour = str(number)
            elif number == 39:
                colour = ""
        self.style = (colour, bold, dim)

    def snapshot(self):
        """The screen as a tuple of lines, each a tuple of (text, style) runs without the blanks at
        its end, and without the empty lines at the end of the screen."""
        lines = []
        for line in self.lines:
            runs = []
            for character, style in line:
                if runs and runs[-1][1] == style:
                    runs[-1][0].append(character)
                else:
                    runs.append([[character], style])
            runs = [("".join(text), style) for text, style in runs]
            while runs and not runs[-1][0].rstrip():
                runs.pop()
            if runs:
                runs[-1] = (runs[-1][0].rstrip(), runs[-1][1])
            lines.append(tuple(runs))
        while lines and not lines[-1]:
            lines.pop()
        return tuple(lines)

    def text(self):
        """The screen as plain text."""
        return "\n".join("".join(text for text, _ in line) for line in self.snapshot())


def run(command, columns=80, rows=50, folder=None, path=None):
    """Runs a command in a pseudo-terminal.

    Returns its exit code, the final screen, and the frames: (seconds since the start, snapshot)
    for each change of the screen.
    """
    size = struct.pack("HHHH", rows, columns, 0, 0)
    pid, terminal = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, size)
        if folder:
            os.chdir(folder)
        os.environ.update(TERM="xterm-256color", COLUMNS=str(columns), LINES=str(rows))
        if path:
            os.environ["PATH"] = f"{path}{os.pathsep}{os.environ['PATH']}"
        os.execvp(command[0], command)
    screen, frames, rest, start = Screen(columns), [], b"", time.monotonic()
    while True:
        ready, _, _ = select.select([terminal], [], [], 0.05)
        elapsed = time.monotonic() - start
        if not ready:
            continue
        try:
            data = os.read(terminal, 65536)
        except OSError:
            break
        if not data:
            break
        rest = screen.feed(rest + data)
        frame = screen.snapshot()
        if not frames or frames[-1][1] != frame:
            frames.append((elapsed, frame))
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), screen, frames
