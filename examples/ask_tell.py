"""Tunes scikit-learn's MLPClassifier on digits: Caviar searches, and this program trains.

    caviar coordinator --store caviar.db &    (wait for "listening on")
    python examples/ask_tell.py mlp     (one for each core; they share the sweep)
    caviar best mlp

`caviar access` tells this program where the coordinator is, which certificate authority to trust,
and its token. So `caviar` must be found in PATH, or be named by the environment variable CAVIAR.

Needs: pip install grpcio grpcio-tools scikit-learn
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import uuid
import warnings

import grpc
from grpc_tools import protoc
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

PROTO = pathlib.Path(__file__).resolve().parent.parent / "proto"
EPOCHS, TRIALS = 18, 24


def generated():
    """Generates the client from the .proto files into a temporary folder, and imports it."""
    out = tempfile.mkdtemp()
    files = [str(path) for path in PROTO.glob("caviar/v1/*.proto")]
    options = [f"-I{PROTO}", f"--python_out={out}", f"--grpc_python_out={out}"]
    assert protoc.main(["protoc", *options, *files]) == 0
    sys.path.insert(0, out)
    from caviar.v1 import sweep_pb2, sweep_pb2_grpc, trial_pb2, trial_pb2_grpc, types_pb2

    return sweep_pb2, sweep_pb2_grpc, trial_pb2, trial_pb2_grpc, types_pb2


sweep_pb2, sweep_pb2_grpc, trial_pb2, trial_pb2_grpc, types_pb2 = generated()


def spec(name):
    """Describes the sweep. A sweep file for `caviar submit` could say the same."""
    number = lambda v: types_pb2.Value(float=v) if isinstance(v, float) else types_pb2.Value(int=v)
    spec = types_pb2.SweepSpec(name=name, seed=7)
    spec.data.source = "external"
    spec.fixed["epochs"].int = EPOCHS
    for key, scale, low, high in [
        ("learning_rate_init", "log", 1e-4, 1e-1),
        ("alpha", "log", 1e-6, 1e-1),
        ("hidden", "log", 16, 256),
        ("batch_size", "log", 16, 256),
    ]:
        spec.space.parameters.add(name=key, scale=scale, low=number(low), high=number(high))
    activations = spec.space.parameters.add(name="activation")
    activations.choices.values.extend(types_pb2.Value(text=text) for text in ("relu", "tanh"))
    spec.search.trials = TRIALS
    spec.objective.metric, spec.objective.goal = "accuracy", "maximize"
    return spec


def run(trials, sweep, asked, data):
    """Trains one trial, epoch by epoch, until it ends or is stopped; returns what happened."""
    values = {name: getattr(v, v.WhichOneof("kind")) for name, v in asked.assignment.values.items()}
    layers = (values.pop("hidden"),)
    model = MLPClassifier(hidden_layer_sizes=layers, random_state=asked.trial, **values)
    x, x_validation, y, y_validation = data
    about = dict(sweep=sweep, trial=asked.trial, lease=asked.lease)
    began = time.monotonic()
    for epoch in range(1, asked.epochs + 1):
        try:
            model.partial_fit(x, y, classes=range(10))
        except ValueError as error:  # the weights have become infinite or NaN
            outcome = types_pb2.OUTCOME_DIVERGED
            trials.TellTrial(trial_pb2.TellTrialRequest(**about, outcome=outcome))
            return f"diverged in epoch {epoch}: {error}"
        shares = model.predict_proba(x_validation)
        accuracy = float((shares.argmax(axis=1) == y_validation).mean())
        metrics = {"accuracy": accuracy, "loss": float(log_loss(y_validation, shares))}
        request = trial_pb2.ReportTrialRequest(**about, epoch=epoch, metrics=metrics)
        reply = trials.ReportTrial(request)
        if reply.verdict == trial_pb2.VERDICT_STOP:
            return f"stopped after epoch {epoch}"
    seconds = time.monotonic() - began
    outcome = types_pb2.OUTCOME_COMPLETED
    told = trials.TellTrial(trial_pb2.TellTrialRequest(**about, outcome=outcome, seconds=seconds))
    # A rung is decided when all trials before this one have reached it. That can be later than the
    # end of this trial, which then counts with its value at the rung.
    was_stopped = told.state == types_pb2.TRIAL_STATE_STOPPED
    stopped = ", but it was stopped at an earlier epoch" if was_stopped else ""
    return f"accuracy {metrics['accuracy']:.4f}{stopped}"


def connect():
    """Connects to the coordinator that this user has started, or that CAVIAR_JOIN names."""
    command = [os.environ.get("CAVIAR", "caviar"), "access", "--json"]
    access = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    credentials = grpc.composite_channel_credentials(
        grpc.ssl_channel_credentials(root_certificates=access["ca"].encode()),
        grpc.access_token_call_credentials(access["token"]),
    )
    # The name is in the certificate wherever the coordinator runs.
    options = [("grpc.ssl_target_name_override", access["server_name"])]
    return grpc.secure_channel(access["addresses"][0], credentials, options)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: ask_tell.py SWEEP, such as mlp")
    name = sys.argv[1]
    warnings.filterwarnings("ignore", module="sklearn")
    channel = connect()
    sweeps = sweep_pb2_grpc.SweepServiceStub(channel)
    trials = trial_pb2_grpc.TrialServiceStub(channel)
    # The same request from another copy of this program returns the same sweep.
    create = sweep_pb2.CreateSweepRequest(request_id=f"ask-tell-{name}", spec=spec(name))
    try:
        sweeps.CreateSweep(create)
    except grpc.RpcError as error:
        sys.exit(f"error: {error.details()}")
    x, y = load_digits(return_X_y=True)
    data = train_test_split(x / 16, y, test_size=0.25, stratify=y, random_state=0)
    client = f"python-{uuid.uuid4().hex[:8]}"
    while True:
        request = trial_pb2.AskTrialsRequest(
            sweep=name,
            request_id=uuid.uuid4().hex,
            client=client,
            lease_ms=600_000,
            wait_ms=30_000,
        )
        reply = trials.AskTrials(request)
        for asked in reply.trials:
            print(f"trial {asked.trial}: {run(trials, name, asked, data)}", flush=True)
        if reply.over:
            break
    best = sweeps.GetBest(sweep_pb2.GetBestRequest(sweep=name)).trial
    print(f"best trial {best.trial}: accuracy {best.objective:.4f}")


if __name__ == "__main__":
    main()
