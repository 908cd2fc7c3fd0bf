"""What two trainings at once on two cores do together, of what one does alone.

    python two_at_once.py --nets small,medium,wide --cores 0,1

A round times one block of steps alone on the one core, alone on the other, and on both at once, by the clock on the wall. The table shows
the medians of the rounds' ratios: 2.00 would be that neither feels the other.
"""
import argparse
import statistics
import sys
import time

from steps import BLOCK_SECONDS, NETS, Contender, Failed, build, choices, row


def rate(contenders, steps):
    """Steps per second of all together, that many each."""
    start = time.perf_counter()
    for contender in contenders:
        contender.begin(steps)
    for contender in contenders:
        contender.answer()
    return len(contenders) * steps / (time.perf_counter() - start)


def measure(program, net, cores, rounds):
    """The median of steps per second alone, and of both together to the mean of each alone."""
    command = [program, "--net", NETS[net], "--serve"]
    first, second = (Contender(f"caviar on core {core}", command, core) for core in cores)
    alone, ratios = [], []
    with first, second:
        steps = first.steps_in(BLOCK_SECONDS)
        for _ in range(rounds):
            alone.append(statistics.mean([rate([first], steps), rate([second], steps)]))
            ratios.append(rate([first, second], steps) / alone[-1])
    return statistics.median(alone), statistics.median(ratios)


def two_cores(text):
    cores = [int(core) for core in text.split(",")]
    if len(cores) != 2:
        raise argparse.ArgumentTypeError(f"{text!r} must be two cores, as 0,1")
    return cores


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", type=choices(NETS), default=list(NETS), help=f"some of {','.join(NETS)}; all if not given")
    parser.add_argument("--cores", type=two_cores, default=[0, 1], help="default 0,1")
    parser.add_argument("--rounds", type=int, default=13, help="default 13")
    given = parser.parse_args()
    program = build()
    print(row(["net", "alone, steps/s", "two together / one alone"]), "|---|---|---|", sep="\n")
    for net in given.nets:
        alone, ratio = measure(program, net, given.cores, given.rounds)
        print(row([net, f"{alone:,.1f}", f"{ratio:.2f}"]), flush=True)


if __name__ == "__main__":
    try:
        main()
    except Failed as why:
        sys.exit(str(why))
