"""What the trials of the benchmark search, how long they take, and what they report.

They are the trials of `cargo run -p caviar-core --example utilisation`, whose time is simulated.
"""
import math
import random

# The parameters: name, scale, low, high. Then the best point on the unit interval, and its weight.
SPACE = [
    ("learning_rate", "log", 1e-4, 1.0, 0.62, 1.0),
    ("momentum", "one_minus_log", 0.5, 0.999, 0.31, 0.5),
    ("weight_decay", "log", 1e-6, 1e-2, 0.45, 0.3),
    ("dropout", "linear", 0.0, 0.5, 0.7, 0.15),
    ("batch_norm_momentum", "one_minus_log", 0.5, 0.99, 0.2, 0.05),
]
# The scale on which each kind of parameter is drawn uniformly.
SCALES = {"linear": float, "log": math.log, "one_minus_log": lambda x: -math.log(1 - x)}


def epoch_seconds(trial, mean):
    """Seconds for each epoch of a trial: lognormal with sigma 1, and the same in every run.

    exp(normal) has the mean exp(1/2), so exp(normal - 1/2) has the mean 1.
    """
    return mean * math.exp(random.Random(trial).gauss(0, 1) - 0.5)


def validation_loss(values, epoch, epochs):
    """The loss after an epoch: a bowl with ripples over the parameters, which a curve approaches.

    Trials with a high learning rate have more left to learn, so early rungs rank them too low.
    """
    bowl, pace = 0, None
    for name, scale, low, high, best, weight in SPACE:
        place = SCALES[scale]
        x = (place(values[name]) - place(low)) / (place(high) - place(low))
        pace = x if pace is None else pace
        bowl += weight * ((x - best) ** 2 + 0.02 * (1 - math.cos(25 * (x - best))))
    return bowl + (0.1 + 0.4 * pace) * (1 / epoch - 1 / epochs)
