"""What sweeps.py measured: tables and a plot."""
import io
import math
import re
from statistics import mean, median

import matplotlib
import matplotlib.pyplot as plt

SHARES = (0.1, 0.25, 0.5, 1.0)
COLOURS = {"zoom": "#d1495b", "rounds": "#edae49", "random": "#66707a", "tpe": "#00798c"}


def at(run, seconds):
    """The best accuracy at a time; 0 before there is one."""
    return max((value for when, value in run["curve"] if when <= seconds), default=0.0)


def reached(run, value):
    """When a run was first as good as `value`."""
    return next((when for when, v in run["curve"] if v >= value), math.inf)


def grouped(results):
    """{data: {method: {seed: run}}}, in the order in which they came."""
    groups = {}
    for run in results:
        groups.setdefault(run["data"], {}).setdefault(run["method"], {})[run["seed"]] = run
    return groups


def of_method(name, runs):
    values = [median(at(r, share * r["seconds"]) for r in runs.values()) for share in SHARES]
    counts = [median(r[key] for r in runs.values()) for key in ("completed", "stopped")]
    best = " | ".join(f"{100 * value:.2f}" if value else "-" for value in values)
    after = " | ".join(f"{100 * mean(r[key] for r in runs.values()):.2f}" for key in ("again", "again_test"))
    return f"| {name} | {best} | {after} | {counts[0]:.0f} | {counts[1]:.0f} |"


def against(name, zoom, other):
    """Won, drawn and lost at the end, and when zoom is as good as the other is at its end."""
    seeds = sorted(zoom.keys() & other.keys())
    ends = [(at(zoom[s], zoom[s]["seconds"]), at(other[s], other[s]["seconds"])) for s in seeds]
    won, drawn = sum(x > y for x, y in ends), sum(x == y for x, y in ends)
    times = [reached(zoom[s], end) / zoom[s]["seconds"] for s, (_, end) in zip(seeds, ends)]
    back = [reached(other[s], end) / zoom[s]["seconds"] for s, (end, _) in zip(seeds, ends)]
    said = [f"{100 * median(t):.0f} %" if median(t) <= 1 else "not" for t in (times, back)]
    return f"| {name} | {won} / {drawn} / {len(seeds) - won - drawn} | {said[0]} | {said[1]} |"


def tables(results):
    for data, methods in grouped(results).items():
        seconds = next(iter(next(iter(methods.values())).values()))["seconds"]
        print(f"\n{data}, {seconds:g} s, {max(map(len, methods.values()))} seeds")
        print("| method | " + " | ".join(f"{100 * s:.0f} %" for s in SHARES) + " | again | its test | completed | stopped |")
        print("|---" * (len(SHARES) + 5) + "|")
        for name, runs in methods.items():
            print(of_method(name, runs))
        if "zoom" in methods:
            print("\n| zoom against | won / drawn / lost | has its final value after | it has zoom's after |\n|---|---|---|---|")
            for name in [name for name in methods if name != "zoom"]:
                print(against(name, methods["zoom"], methods[name]))
    created = [r["created"] for r in results if "created" in r]
    if created:
        print(f"\nHanding in a sweep took {1000 * median(created):.0f} ms (median), {1000 * max(created):.0f} ms (most), and counts.")
    print(f"Of the time of two cores the programs had {100 * median(r['cpu'] for r in results):.0f} % (median), {100 * min(r['cpu'] for r in results):.0f} % (least).")
    by_optuna = [r for r in results if r["method"] == "tpe"]
    if by_optuna:
        deciding, training = (100 * median(r[key] / r["seconds"] for r in by_optuna) for key in ("deciding", "training"))
        print(f"Optuna decided for {deciding:.1f} % of the time (median), and the two slots trained what came to its end for {training / 2:.0f} %.")


def quartiles(values):
    ordered = sorted(values)
    place = lambda share: ordered[round(share * (len(ordered) - 1))]
    return place(0.25), median(ordered), place(0.75)


def plot(results, path):
    """The median and the quartiles over the seeds, by method, one picture for each data set."""
    groups = grouped(results)
    matplotlib.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "caviar", "font.size": 9, "font.family": "sans-serif"}
    figure, axes = plt.subplots(1, len(groups), figsize=(4.6 * len(groups), 3.2), squeeze=False, layout="constrained")
    for axis, (data, methods) in zip(axes[0], groups.items()):
        seconds = max(r["seconds"] for runs in methods.values() for r in runs.values())
        times = [seconds * 0.02 ** (1 - i / 60) for i in range(61)]
        lowest, highest = [], []
        for name, runs in methods.items():
            low, middle, high = zip(*(quartiles([100 * at(r, t) for r in runs.values()]) for t in times))
            colour = COLOURS.get(name)
            (line,) = axis.step(times, middle, where="post", label=name, color=colour, linewidth=1.4)
            axis.fill_between(times, low, high, step="post", color=line.get_color(), alpha=0.15, linewidth=0)
            lowest.append(low[20])  # after a fourteenth of the time
            highest.append(high[-1])
        axis.set(xscale="log", xlim=(times[0], seconds), ylim=(min(lowest), max(highest) + 0.3), title=data, xlabel="seconds", ylabel="best validation accuracy, %")
        axis.xaxis.set_major_formatter("{x:g}")
        axis.grid(alpha=0.3, linewidth=0.5)
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside upper center", ncols=8, frameon=False)
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    # A tenth of a point is finer than anybody sees.
    path.write_text(re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.1f}", text.getvalue()))
