"""A program that runs the trials of an external sweep over gRPC. Its metrics depend only on the
assignment and the epoch, so the sweep is the same every time."""

import functools
import pathlib
import sys
import tempfile
import uuid

from programs import Failure

NAME = "external"
EPOCHS, TRIALS = 9, 18
# The trials that do not complete normally.
FAILS, DIVERGES, IS_NAN = 3, 5, 7
# One minute is longer than all trials take, so no lease expires on a busy machine.
LEASE_MS = 60_000
# How long a call may wait for trials, and how long any call may take.
WAIT_MS, DEADLINE_S = 30_000, 90
# The most requests for trials. A sweep needs fewer, even if some replies are empty.
MOST_QUESTIONS = 3 * TRIALS


def missing():
    """The name of a Python module that is missing, or None."""
    try:
        import grpc  # noqa: F401
        import grpc_tools  # noqa: F401
    except ImportError as error:
        return error.name
    return None


class Client:
    """A client generated from the .proto files of a folder, connected to a coordinator."""

    def __init__(self, proto, address):
        import grpc

        self.messages, services = _generated(pathlib.Path(proto))
        channel = grpc.insecure_channel(address.removeprefix("http://"))
        self.sweeps = services["sweep"].SweepServiceStub(channel)
        self.trials = services["trial"].TrialServiceStub(channel)
        # A new name each time, because a repeated request of one client gets the same reply.
        self.name = f"compat-{uuid.uuid4().hex[:8]}"
        self.requests = 0

    def create(self):
        """Creates the sweep. A repeated request finds the same sweep."""
        request = self.messages["sweep"].CreateSweepRequest(
            request_id="external-1", spec=_spec(self.messages["types"]))
        self.sweeps.CreateSweep(request, timeout=DEADLINE_S)

    def drive(self, most=None):
        """Runs trials one after the other until the sweep ends, or at most `most` trials."""
        done = 0
        while most is None or done < most:
            if self.requests >= MOST_QUESTIONS:
                raise Failure(f"{NAME} does not end: {done} trials were run")
            answer = self._ask(count=2, lease_ms=LEASE_MS)
            for asked in answer.trials:
                self._run(asked)
                done += 1
            if answer.over:
                return

    def abandon(self):
        """Asks for a trial, reports its first epoch, and then stays silent."""
        for asked in self._ask(count=1, lease_ms=1000).trials:
            self._report(asked, 1)

    def _ask(self, count, lease_ms):
        self.requests += 1
        return self.trials.AskTrials(self.messages["trial"].AskTrialsRequest(
            sweep=NAME, request_id=f"ask-{self.requests}", client=self.name, count=count,
            lease_ms=lease_ms, wait_ms=WAIT_MS),
            timeout=DEADLINE_S)

    def _report(self, asked, epoch):
        """Reports an epoch and returns the verdict on the trial."""
        kinds = asked.assignment.values.items()
        values = {name: getattr(value, value.WhichOneof("kind")) for name, value in kinds}
        return self.trials.ReportTrial(self.messages["trial"].ReportTrialRequest(
            sweep=NAME, trial=asked.trial, lease=asked.lease, epoch=epoch,
            metrics=_measured(asked.trial, values, epoch)), timeout=DEADLINE_S).verdict

    def _run(self, asked):
        trial, types = self.messages["trial"], self.messages["types"]
        for epoch in range(1, asked.epochs + 1):
            if self._report(asked, epoch) == trial.VERDICT_STOP:
                return
            if asked.trial in (FAILS, DIVERGES):
                break
        outcome = {FAILS: types.OUTCOME_FAILED, DIVERGES: types.OUTCOME_DIVERGED}.get(
            asked.trial, types.OUTCOME_COMPLETED)
        message = "the model was not found" if asked.trial == FAILS else None
        self.trials.TellTrial(trial.TellTrialRequest(
            sweep=NAME, trial=asked.trial, lease=asked.lease, outcome=outcome, message=message,
            seconds=1.5), timeout=DEADLINE_S)


@functools.cache
def _generated(proto):
    """The modules of the messages and of the services, each by the name of its file."""
    from grpc_tools import protoc

    out = tempfile.mkdtemp()
    files = [str(path) for path in sorted(proto.glob("caviar/v1/*.proto"))]
    arguments = ["protoc", f"-I{proto}", f"--python_out={out}", f"--grpc_python_out={out}", *files]
    if protoc.main(arguments) != 0:
        raise Failure(f"the .proto files in {proto} do not compile")
    sys.path.insert(0, out)
    from caviar.v1 import sweep_pb2, sweep_pb2_grpc, trial_pb2, trial_pb2_grpc, types_pb2

    messages = {"sweep": sweep_pb2, "trial": trial_pb2, "types": types_pb2}
    return messages, {"sweep": sweep_pb2_grpc, "trial": trial_pb2_grpc}


def _spec(types):
    spec = types.SweepSpec(name=NAME, seed=5)
    spec.data.source = "external"
    spec.fixed["epochs"].int = EPOCHS
    spec.fixed["note"].text = "kept for the program"
    add = spec.space.parameters.add
    add(name="rate", scale="log", low=types.Value(float=1e-3), high=types.Value(float=1.0))
    add(name="size", low=types.Value(int=1), high=types.Value(int=20))
    kernel = add(name="kernel")
    kernel.choices.values.extend(types.Value(text=text) for text in ("linear", "rbf"))
    gamma = add(name="gamma", low=types.Value(float=0.0), high=types.Value(float=2.0))
    gamma.when.parameter = "kernel"
    gamma.when.values.add().text = "rbf"
    spec.search.trials, spec.search.parallelism = TRIALS, 4
    spec.objective.metric, spec.objective.goal = "score", "maximize"
    return spec


def _measured(trial, values, epoch):
    """Metrics of one epoch. Only sums and products are used, so the bits are always the same."""
    if trial == IS_NAN and epoch > 1:
        return {"score": float("nan"), "cost": 1.0}
    far = (values["rate"] - 0.3) ** 2 + (values["size"] / 20 - 0.5) ** 2
    if values["kernel"] == "rbf":
        far += (values["gamma"] - 1.0) ** 2 / 4 - 0.1
    return {"score": epoch / (epoch + 1) - far, "cost": float(values["size"] * epoch)}
