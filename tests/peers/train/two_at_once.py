"""Measures what two trainings at once on two cores do, relative to one training.

    python tests/peers/train/two_at_once.py --nets small,medium,wide --cores 0,1

A round times a block of steps on the first core, on the second core, and on both at once, in wall
clock time. The table shows the medians of the rounds' ratios. A ratio of 2.00 means that neither
training slows the other.
"""
import argparse
import statistics
import sys
import time

from programs import build
from steps import BLOCK_SECONDS, NETS, Contender, Failed, choices, row


def rate(contenders, steps):
    """Steps per second of all contenders together. Each contender does `steps` steps."""
    start = time.perf_counter()
    for contender in contenders:
        contender.begin(steps)
    for contender in contenders:
        contender.reply()
    return len(contenders) * steps / (time.perf_counter() - start)


def measure(program, net, cores, rounds):
    """The median rate of one training, and the median ratio of two at once to the mean of one."""
    command = [program, "--net", NETS[net], "--serve"]
    first, second = (Contender(f"caviar on core {core}", command, core) for core in cores)
    single, ratios = [], []
    with first, second:
        steps = first.steps_in(BLOCK_SECONDS)
        for _ in range(rounds):
            single.append(statistics.mean([rate([first], steps), rate([second], steps)]))
            ratios.append(rate([first, second], steps) / single[-1])
    return statistics.median(single), statistics.median(ratios)


def two_cores(text):
    cores = [int(core) for core in text.split(",")]
    if len(cores) != 2:
        raise argparse.ArgumentTypeError(f"{text!r}: expected two cores, such as 0,1")
    return cores


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", type=choices(NETS), default=list(NETS),
                        help=f"some of {','.join(NETS)} (default: all)")
    parser.add_argument("--cores", type=two_cores, default=[0, 1], help="default 0,1")
    parser.add_argument("--rounds", type=int, default=13, help="default 13")
    given = parser.parse_args()
    program = build("caviar-nn", "--example", "steps")
    print(row(["net", "one training, steps/s", "two at once / one"]), "|---|---|---|", sep="\n")
    for net in given.nets:
        single, ratio = measure(program, net, given.cores, given.rounds)
        print(row([net, f"{single:,.1f}", f"{ratio:.2f}"]), flush=True)


if __name__ == "__main__":
    try:
        main()
    except Failed as error:
        sys.exit(str(error))
