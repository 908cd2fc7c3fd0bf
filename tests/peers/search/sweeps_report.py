"""Tables and a plot of what sweeps.py measured."""
import io
import math
import re
from statistics import mean, median

import matplotlib
import matplotlib.pyplot as plt

SHARES = (0.1, 0.25, 0.5, 1.0)
COLOURS = {"zoom": "#d1495b", "rounds": "#edae49", "random": "#66707a", "tpe": "#00798c"}


def at(run, seconds):
    """The best accuracy at a time, or 0 if no trial has one yet."""
    return max((value for when, value in run["curve"] if when <= seconds), default=0.0)


def reached(run, value):
    """The time at which a run first reached an accuracy, or infinity."""
    return next((when for when, v in run["curve"] if v >= value), math.inf)


def grouped(results):
    """{data: {method: {seed: run}}}, in the order of the results."""
    groups = {}
    for run in results:
        groups.setdefault(run["data"], {}).setdefault(run["method"], {})[run["seed"]] = run
    return groups


def of_method(name, runs):
    values = [median(at(r, share * r["seconds"]) for r in runs.values()) for share in SHARES]
    counts = [median(r[key] for r in runs.values()) for key in ("completed", "stopped")]
    best = " | ".join(f"{100 * value:.2f}" if value else "-" for value in values)
    trained_again = [mean(r[key] for r in runs.values()) for key in ("again", "again_test")]
    after = " | ".join(f"{100 * value:.2f}" for value in trained_again)
    return f"| {name} | {best} | {after} | {counts[0]:.0f} | {counts[1]:.0f} |"


def against(name, zoom, other):
    """Won, drawn and lost at the end, and when each method reaches the other's final value."""
    seeds = sorted(zoom.keys() & other.keys())
    final = lambda run: at(run, run["seconds"])
    ends = [(final(zoom[s]), final(other[s])) for s in seeds]
    won, drawn = sum(x > y for x, y in ends), sum(x == y for x, y in ends)
    times = [reached(zoom[s], end) / zoom[s]["seconds"] for s, (_, end) in zip(seeds, ends)]
    back = [reached(other[s], end) / zoom[s]["seconds"] for s, (end, _) in zip(seeds, ends)]
    when = [f"{100 * median(t):.0f} %" if median(t) <= 1 else "not" for t in (times, back)]
    return f"| {name} | {won} / {drawn} / {len(seeds) - won - drawn} | {when[0]} | {when[1]} |"


def tables(results):
    for data, methods in grouped(results).items():
        seconds = next(iter(next(iter(methods.values())).values()))["seconds"]
        print(f"\n{data}, {seconds:g} s, {max(map(len, methods.values()))} seeds")
        shares = " | ".join(f"{100 * s:.0f} %" for s in SHARES)
        print(f"| method | {shares} | again | again, test | completed | stopped |")
        print("|---" * (len(SHARES) + 5) + "|")
        for name, runs in methods.items():
            print(of_method(name, runs))
        if "zoom" in methods:
            print("\n| zoom against | won / drawn / lost | zoom reaches its final value after | "
                  "it reaches zoom's after |\n|---|---|---|---|")
            for name in [name for name in methods if name != "zoom"]:
                print(against(name, methods["zoom"], methods[name]))
    conditions(results)


def conditions(results):
    """Prints the conditions of the measurement."""
    percent = lambda values: 100 * median(values)
    created = [r["created"] for r in results if "created" in r]
    if created:
        print(f"\nSubmitting a sweep took {1000 * median(created):.0f} ms (median), "
              f"{1000 * max(created):.0f} ms (greatest), which is included.")
    cpu = [r["cpu"] for r in results]
    print(f"The programs had {percent(cpu):.0f} % (median) and {100 * min(cpu):.0f} % (least) of "
          "the time of two cores.")
    by_optuna = [r for r in results if r["method"] == "tpe"]
    if by_optuna:
        deciding = percent(r["deciding"] / r["seconds"] for r in by_optuna)
        training = percent(r["training"] / r["seconds"] for r in by_optuna) / 2
        print(f"Optuna decided for {deciding:.1f} % of the time (median). The two slots trained "
              f"finished trials for {training:.0f} %.")


def quartiles(values):
    ordered = sorted(values)
    place = lambda share: ordered[round(share * (len(ordered) - 1))]
    return place(0.25), median(ordered), place(0.75)


STYLE = {"svg.fonttype": "none", "svg.hashsalt": "caviar", "font.size": 9,
         "font.family": "sans-serif"}


def plot(results, path):
    """Draws the median and the quartiles over the seeds by method, for each data set."""
    groups = grouped(results)
    matplotlib.rcParams |= STYLE
    size = (4.6 * len(groups), 3.2)
    figure, axes = plt.subplots(
        1, len(groups), figsize=size, squeeze=False, layout="constrained")
    for axis, (data, methods) in zip(axes[0], groups.items()):
        draw(axis, data, methods)
    handles = axes[0][0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=8, frameon=False)
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    # A tenth of a point is too fine to see.
    rounded = lambda number: f"{float(number[0]):.1f}"
    path.write_text(re.sub(r"\d+\.\d{3,}", rounded, text.getvalue()))


def draw(axis, data, methods):
    seconds = max(r["seconds"] for runs in methods.values() for r in runs.values())
    times = [seconds * 0.02 ** (1 - i / 60) for i in range(61)]
    lowest, highest = [], []
    for name, runs in methods.items():
        values = (quartiles([100 * at(r, t) for r in runs.values()]) for t in times)
        low, middle, high = zip(*values)
        colour = COLOURS.get(name)
        (line,) = axis.step(
            times, middle, where="post", label=name, color=colour, linewidth=1.4)
        axis.fill_between(
            times, low, high, step="post", color=line.get_color(), alpha=0.15, linewidth=0)
        lowest.append(low[20])  # After 7 % of the time.
        highest.append(high[-1])
    axis.set(xscale="log", xlim=(times[0], seconds), ylim=(min(lowest), max(highest) + 0.3),
             title=data, xlabel="seconds", ylabel="best validation accuracy, %")
    axis.xaxis.set_major_formatter("{x:g}")
    axis.grid(alpha=0.3, linewidth=0.5)
