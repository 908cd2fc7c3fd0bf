"""One contender of steps.py: a library that trains a net, by the requested numbers of steps.

    python contender.py torch-eager 64-128-128-10@64 adam

Prints `ready` and the number of the net's parameters. After that, each line on standard input is a
number of steps; the reply is the rate in steps per second of CPU time. Each library is used as its
manual recommends for speed: one thread, mini-batches cut and in memory beforehand, and no value
read back before the block ends.
"""
import os
import sys
import time
import warnings

BATCHES = 16  # mini-batches that are cycled through
LEARNING_RATE, MOMENTUM, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.9, 0.999, 1e-8


def sizes(net):
    """Features, hidden units, classes and the mini-batch of a net written as 64-128-128-10@64."""
    widths, batch = net.split("@")
    features, *hidden, classes = map(int, widths.split("-"))
    return features, hidden, classes, int(batch)


def torch_optimizer(model, optimizer):
    """PyTorch's own, in its fastest eager form."""
    import torch

    if optimizer == "sgd":
        return torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM,
                               fused=True)
    return torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, betas=(BETA1, BETA2),
                            eps=EPSILON, fused=True)


def torch_update(model, optimizer):
    """The same as a function of the gradients, because `torch.optim` breaks a compiled graph."""
    import torch

    parameters = list(model.parameters())
    first, second = ([torch.zeros_like(parameter) for parameter in parameters] for _ in range(2))
    done = torch.zeros(())

    @torch.no_grad()
    def sgd(gradients):
        for w, g, m in zip(parameters, gradients, first):
            m.mul_(MOMENTUM).add_(g)
            w.sub_(LEARNING_RATE * m)

    @torch.no_grad()
    def adam(gradients):
        done.add_(1)
        rate, scale = LEARNING_RATE / (1 - BETA1**done), 1 / (1 - BETA2**done)
        for w, g, m, v in zip(parameters, gradients, first, second):
            m.lerp_(g, 1 - BETA1)
            v.mul_(BETA2).addcmul_(g, g, value=1 - BETA2)
            w.sub_(rate * m / ((v * scale).sqrt() + EPSILON))

    return sgd if optimizer == "sgd" else adam


def torch_step(model, optimizer, compiled):
    """One step. `compiled`: None, "loss" (forward and backward) or "step" (all in one graph)."""
    import torch

    def loss_of(x, y):
        return torch.nn.functional.cross_entropy(model(x), y)

    def compile(function):
        return torch.compile(function, mode="max-autotune-no-cudagraphs", fullgraph=True)

    if compiled == "step":
        torch._dynamo.config.trace_autograd_ops = True
        parameters, update = list(model.parameters()), torch_update(model, optimizer)

        def step(x, y):
            loss = loss_of(x, y)
            update(torch.autograd.grad(loss, parameters))
            return loss.detach()

        return compile(step)
    updater = torch_optimizer(model, optimizer)
    loss_of = compile(loss_of) if compiled else loss_of

    def step(x, y):
        updater.zero_grad(set_to_none=True)
        loss = loss_of(x, y)
        loss.backward()
        updater.step()
        return loss.detach()

    return step


def with_torch(compiled=None):
    def start(net, optimizer):
        import torch
        from torch_net import net as build

        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
        torch.manual_seed(1)
        features, hidden, classes, batch = sizes(net)
        model = build(features, hidden, classes).train()
        inputs = torch.randn(BATCHES, batch, features).unbind()
        targets = torch.randint(classes, (BATCHES, batch)).unbind()
        step = torch_step(model, optimizer, compiled)

        def train(steps):
            for index in range(steps):
                loss = step(inputs[index % BATCHES], targets[index % BATCHES])
            return steps, float(loss)

        return sum(parameter.numel() for parameter in model.parameters()), train

    return start


def jax_state(key, net, optimizer):
    """The layers, running statistics and moments of a net."""
    import jax
    import jax.numpy as jnp

    features, hidden, classes, _ = sizes(net)
    layers, fan_in = [], features
    for units, key in zip(hidden, jax.random.split(key, len(hidden))):
        weights = jax.random.normal(key, (fan_in, units)) * (2 / fan_in) ** 0.5
        layers.append({"weights": weights, "gamma": jnp.ones(units), "beta": jnp.zeros(units)})
        fan_in = units
    weights = jax.random.normal(key, (fan_in, classes)) * (2 / (fan_in + classes)) ** 0.5
    layers.append({"weights": weights, "bias": jnp.zeros(classes)})
    running = [{"mean": jnp.zeros(units), "variance": jnp.ones(units)} for units in hidden]
    moments = [jax.tree.map(jnp.zeros_like, layers) for _ in range(1 if optimizer == "sgd" else 2)]
    return {"layers": layers, "running": running, "moments": moments, "steps": jnp.float32(0)}


def jax_loss(layers, running, x, y):
    """The mean cross-entropy, and the updated running statistics."""
    import jax
    import jax.numpy as jnp

    moved, rows = [], x.shape[0]
    for layer, old in zip(layers, running):
        z = x @ layer["weights"]
        mean = z.mean(0)
        variance = jnp.square(z - mean).mean(0)
        unbiased = variance * (rows / (rows - 1))
        moved.append({
            "mean": 0.9 * old["mean"] + 0.1 * mean,
            "variance": 0.9 * old["variance"] + 0.1 * unbiased,
        })
        scale = jax.lax.rsqrt(variance + 1e-5) * layer["gamma"]
        x = jax.nn.relu((z - mean) * scale + layer["beta"])
    scores = jax.nn.log_softmax(x @ layers[-1]["weights"] + layers[-1]["bias"])
    return -jnp.take_along_axis(scores, y[:, None], 1).mean(), moved


def jax_step(state, x, y):
    """One step of SGD with momentum if there is one moment, or of Adam if there are two."""
    import jax
    import jax.numpy as jnp

    gradient = jax.value_and_grad(jax_loss, has_aux=True)
    (loss, running), gradients = gradient(state["layers"], state["running"], x, y)
    steps = state["steps"] + 1
    if len(state["moments"]) == 1:
        moments = [jax.tree.map(lambda m, g: MOMENTUM * m + g, state["moments"][0], gradients)]
        layers = jax.tree.map(lambda w, m: w - LEARNING_RATE * m, state["layers"], *moments)
    else:
        first, second = state["moments"]
        first = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, first, gradients)
        second = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, second, gradients)
        moments = [first, second]
        rate, scale = LEARNING_RATE / (1 - BETA1**steps), 1 / (1 - BETA2**steps)
        layers = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v * scale) + EPSILON),
                              state["layers"], *moments)
    return {"layers": layers, "running": running, "moments": moments, "steps": steps}, loss


def with_jax(models=1, is_looped=False):
    """One call of a compiled step per step, or one call for all steps if `is_looped`.

    Trains `models` nets of the same shape at once.
    """

    def start(net, optimizer):
        os.environ["JAX_PLATFORMS"] = "cpu"
        os.environ["XLA_FLAGS"] = ("--xla_cpu_multi_thread_eigen=false"
                                   " intra_op_parallelism_threads=1")
        import jax
        import jax.numpy as jnp

        features, _, classes, batch = sizes(net)
        keys = jax.random.split(jax.random.key(1), models)
        inputs = jax.random.normal(keys[0], (BATCHES, models, batch, features))
        targets = jax.random.randint(keys[0], (BATCHES, models, batch), 0, classes)
        if models == 1:
            inputs, targets = inputs[:, 0], targets[:, 0]
            state, step = jax_state(keys[0], net, optimizer), jax_step
        else:
            state = jax.vmap(lambda key: jax_state(key, net, optimizer))(keys)
            step = jax.vmap(jax_step)

        def many(state, inputs, targets, count):
            def body(index, carried):
                return step(carried[0], inputs[index % BATCHES], targets[index % BATCHES])

            losses = jnp.zeros(() if models == 1 else models)
            return jax.lax.fori_loop(0, count, body, (state, losses))

        one, many = (jax.jit(function, donate_argnums=0) for function in (step, many))
        batches = list(zip(inputs, targets))

        def train(steps):
            nonlocal state
            count = -(-steps // models)
            if is_looped:
                state, loss = many(state, inputs, targets, count)
            else:
                for index in range(count):
                    state, loss = one(state, *batches[index % BATCHES])
            jax.block_until_ready(state)
            return count * models, float(loss.mean())

        return sum(leaf.size for leaf in jax.tree.leaves(state["layers"])) // models, train

    return start


def with_sklearn(net, optimizer):
    """Trains whole epochs in one call of `fit`, with biases instead of batch normalisation."""
    import numpy
    from sklearn.neural_network import MLPClassifier

    warnings.filterwarnings("ignore")  # such as "has not converged"
    features, hidden, classes, batch = sizes(net)
    random = numpy.random.default_rng(1)
    inputs = random.standard_normal((BATCHES * batch, features)).astype(numpy.float32)
    targets = random.integers(classes, size=BATCHES * batch)
    solver = {"solver": "adam"}
    if optimizer == "sgd":
        solver = {"solver": "sgd", "momentum": MOMENTUM, "nesterovs_momentum": False}

    def fitted(epochs):
        model = MLPClassifier(
            hidden, batch_size=batch, learning_rate_init=LEARNING_RATE, alpha=0,
            max_iter=epochs, shuffle=False, tol=0, n_iter_no_change=epochs + 1,
            random_state=1, **solver)
        return model.fit(inputs, targets)

    def train(steps):
        epochs = -(-steps // BATCHES)
        return epochs * BATCHES, fitted(epochs).loss_

    model = fitted(1)
    return sum(array.size for array in model.coefs_ + model.intercepts_), train


CONTENDERS = {
    "torch-eager": with_torch(),
    "torch-compile": with_torch("loss"),
    "torch-one-graph": with_torch("step"),
    "jax-jit": with_jax(),
    "jax-loop": with_jax(is_looped=True),
    "jax-8-models": with_jax(models=8, is_looped=True),
    "sklearn": with_sklearn,
}


def main():
    replies, sys.stdout = sys.stdout, sys.stderr  # compilers may print to standard output
    name, net, optimizer = sys.argv[1:]
    parameters, train = CONTENDERS[name](net, optimizer)
    train(3)  # compiles
    print("ready", parameters, file=replies, flush=True)
    for line in sys.stdin:
        start = time.process_time()
        steps, _ = train(int(line))
        print(steps / (time.process_time() - start), file=replies, flush=True)


if __name__ == "__main__":
    main()
