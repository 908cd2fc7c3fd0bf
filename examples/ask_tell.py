"""Tunes scikit-learn's MLPClassifier on digits: Caviar chooses what to try and whom to stop, this program does the training.

    caviar-coordinator --store caviar.db --listen 127.0.0.1:7070
    python examples/ask_tell.py 127.0.0.1:7070 mlp            (as often as there are cores; each takes other trials)
    caviar best mlp

Needs: pip install grpcio grpcio-tools scikit-learn
"""

import pathlib
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
    """The client, generated from the .proto files into a temporary folder."""
    out = tempfile.mkdtemp()
    files = [str(path) for path in PROTO.glob("caviar/v1/*.proto")]
    assert protoc.main(["protoc", f"-I{PROTO}", f"--python_out={out}", f"--grpc_python_out={out}", *files]) == 0
    sys.path.insert(0, out)
    from caviar.v1 import sweep_pb2, sweep_pb2_grpc, trial_pb2, trial_pb2_grpc, types_pb2

    return sweep_pb2, sweep_pb2_grpc, trial_pb2, trial_pb2_grpc, types_pb2


sweep_pb2, sweep_pb2_grpc, trial_pb2, trial_pb2_grpc, types_pb2 = generated()


def spec(name):
    """The sweep. A file with the same words, given to `caviar submit`, would do as well."""
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
    """Trains one trial epoch by epoch, until it is done or was stopped."""
    values = {name: getattr(v, v.WhichOneof("kind")) for name, v in asked.assignment.values.items()}
    model = MLPClassifier(hidden_layer_sizes=(values.pop("hidden"),), random_state=asked.trial, **values)
    x, x_validation, y, y_validation = data
    about = dict(sweep=sweep, trial=asked.trial, lease=asked.lease)
    began = time.monotonic()
    for epoch in range(1, asked.epochs + 1):
        try:
            model.partial_fit(x, y, classes=range(10))
        except ValueError as error:  # the weights are not finite any more
            trials.TellTrial(trial_pb2.TellTrialRequest(**about, outcome=types_pb2.OUTCOME_DIVERGED))
            return f"diverged in epoch {epoch}: {error}"
        shares = model.predict_proba(x_validation)
        metrics = {"accuracy": float((shares.argmax(axis=1) == y_validation).mean()), "loss": float(log_loss(y_validation, shares))}
        answer = trials.ReportTrial(trial_pb2.ReportTrialRequest(**about, epoch=epoch, metrics=metrics))
        if answer.verdict == trial_pb2.VERDICT_STOP:
            return f"stopped after epoch {epoch}"
    seconds = time.monotonic() - began
    told = trials.TellTrial(trial_pb2.TellTrialRequest(**about, outcome=types_pb2.OUTCOME_COMPLETED, seconds=seconds))
    # A rung is decided once the trials before this one have come there: then it may have been stopped there, and counts with what it had.
    stopped = ", but it was stopped at an earlier epoch" if told.state == types_pb2.TRIAL_STATE_STOPPED else ""
    return f"accuracy {metrics['accuracy']:.4f}{stopped}"


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: ask_tell.py HOST:PORT SWEEP, such as 127.0.0.1:7070 mlp")
    address, name = sys.argv[1].removeprefix("http://"), sys.argv[2]
    warnings.filterwarnings("ignore", module="sklearn")
    channel = grpc.insecure_channel(address)
    sweeps, trials = sweep_pb2_grpc.SweepServiceStub(channel), trial_pb2_grpc.TrialServiceStub(channel)
    # The same request again, from another copy of this program, finds the same sweep.
    try:
        sweeps.CreateSweep(sweep_pb2.CreateSweepRequest(request_id=f"ask-tell-{name}", spec=spec(name)))
    except grpc.RpcError as error:
        sys.exit(f"error: {error.details()}")
    x, y = load_digits(return_X_y=True)
    data = train_test_split(x / 16, y, test_size=0.25, stratify=y, random_state=0)
    client = f"python-{uuid.uuid4().hex[:8]}"
    while True:
        request = trial_pb2.AskTrialsRequest(sweep=name, request_id=uuid.uuid4().hex, client=client, lease_ms=600_000, wait_ms=30_000)
        answer = trials.AskTrials(request)
        for asked in answer.trials:
            print(f"trial {asked.trial}: {run(trials, name, asked, data)}", flush=True)
        if answer.over:
            break
    best = sweeps.GetBest(sweep_pb2.GetBestRequest(sweep=name)).trial
    print(f"best trial {best.trial}: accuracy {best.objective:.4f}")


if __name__ == "__main__":
    main()
