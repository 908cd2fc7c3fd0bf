"""A client made from the .proto files by grpc_tools, and a look by reflection: lists services, submits a sweep, watches it to its end.

usage: client.py PROTO_FOLDER HOST:PORT SWEEP_NAME
Prints the final state and the best objective.
"""

import pathlib
import sys
import tempfile

import grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_tools import protoc


def generate(proto_folder):
    """Generates the client into a temporary folder and makes it importable."""
    out = tempfile.mkdtemp()
    files = [str(p) for p in sorted(pathlib.Path(proto_folder).glob("caviar/v1/*.proto"))]
    code = protoc.main(["protoc", f"-I{proto_folder}", f"--python_out={out}", f"--grpc_python_out={out}", *files])
    assert code == 0, "the .proto files do not compile"
    sys.path.insert(0, out)


def main():
    proto_folder, address, name = sys.argv[1:]
    generate(proto_folder)
    from caviar.v1 import sweep_pb2, sweep_pb2_grpc, types_pb2, worker_pb2, worker_pb2_grpc

    channel = grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", 64 << 20)])
    services = set(ProtoReflectionDescriptorDatabase(channel).get_services())
    for service in ("caviar.v1.SweepService", "caviar.v1.TrialService", "caviar.v1.WorkerService", "caviar.v1.WorkerAdminService", "grpc.health.v1.Health"):
        assert service in services, f"{service} is not among {sorted(services)}"

    sweeps = sweep_pb2_grpc.SweepServiceStub(channel)
    spec = types_pb2.SweepSpec(name=name, seed=7)
    spec.data.source = "builtin:digits"
    spec.fixed["epochs"].int = 5
    spec.space.parameters.add(name="learning_rate", low=types_pb2.Value(float=1e-3), high=types_pb2.Value(float=1.0))
    spec.search.strategy = "random"
    spec.search.trials = 6
    spec.stopping.rule = "none"

    request = sweep_pb2.CreateSweepRequest(request_id=f"{name}-1", spec=spec)
    first, again = sweeps.CreateSweep(request), sweeps.CreateSweep(request)
    assert first.id == again.id, "a repeated request made a second sweep"

    spec.search.trials = 0
    try:
        sweeps.CreateSweep(sweep_pb2.CreateSweepRequest(request_id="bad", spec=spec))
        raise AssertionError("a sweep of no trials was accepted")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT and "search.trials" in error.details(), error

    seen = 0
    for sweep in sweeps.WatchSweep(sweep_pb2.WatchSweepRequest(sweep=name)):
        seen += 1
    assert seen >= 2, "the stream showed one state only"
    trials = list(sweeps.ExportTrials(sweep_pb2.ExportTrialsRequest(sweep=name)))
    assert [t.trial for t in trials] == list(range(6)) and all(len(t.curve) == 5 for t in trials)
    workers = worker_pb2_grpc.WorkerAdminServiceStub(channel).ListWorkers(worker_pb2.ListWorkersRequest()).workers
    assert [w.worker for w in workers] == ["w"], workers
    print(types_pb2.SweepState.Name(sweep.state), f"{sweep.best.objective:.4f}")


if __name__ == "__main__":
    main()
