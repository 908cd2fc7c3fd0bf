"""Tests a client that grpc_tools generates from the .proto files.

Lists the services by reflection, submits a sweep, and watches it until it ends.

usage: caviar access --json | client.py PROTO_FOLDER SWEEP_NAME
Prints the final state and the best objective.
"""

import json
import pathlib
import sys
import tempfile

import grpc
from grpc_reflection.v1alpha import proto_reflection_descriptor_database as reflection
from grpc_tools import protoc

SERVICES = ("caviar.v1.AccessService", "caviar.v1.ArtifactService", "caviar.v1.SweepService",
            "caviar.v1.TrialService", "caviar.v1.WorkerService", "caviar.v1.WorkerAdminService",
            "grpc.health.v1.Health")


def generate(proto_folder):
    """Generates the client into a temporary folder and makes it importable."""
    out = tempfile.mkdtemp()
    files = [str(p) for p in sorted(pathlib.Path(proto_folder).glob("caviar/v1/*.proto"))]
    arguments = ["protoc", f"-I{proto_folder}", f"--python_out={out}", f"--grpc_python_out={out}"]
    code = protoc.main([*arguments, *files])
    assert code == 0, "the .proto files do not compile"
    sys.path.insert(0, out)


def check_refusals(address, tls):
    """Without a token, with a wrong one and without TLS there is no access."""
    from caviar.v1 import sweep_pb2, sweep_pb2_grpc

    wrong = grpc.access_token_call_credentials("0" * 32)
    for credentials in tls, grpc.composite_channel_credentials(tls, wrong):
        with grpc.secure_channel(address, credentials) as channel:
            try:
                sweep_pb2_grpc.SweepServiceStub(channel).ListSweeps(sweep_pb2.ListSweepsRequest())
                raise AssertionError("a request without a valid token was answered")
            except grpc.RpcError as error:
                assert error.code() == grpc.StatusCode.UNAUTHENTICATED, error
                assert "hint:" in error.details(), error
    with grpc.insecure_channel(address) as channel:
        try:
            sweep_pb2_grpc.SweepServiceStub(channel).ListSweeps(sweep_pb2.ListSweepsRequest())
            raise AssertionError("a request without TLS was answered")
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE, error


def main():
    proto_folder, name = sys.argv[1:]
    access = json.load(sys.stdin)
    generate(proto_folder)
    from caviar.v1 import sweep_pb2, sweep_pb2_grpc, types_pb2, worker_pb2, worker_pb2_grpc

    # The coordinator's certificate names the addresses that it advertises.
    options = [("grpc.max_receive_message_length", 64 << 20)]
    tls = grpc.ssl_channel_credentials(root_certificates=access["ca"].encode())
    token = grpc.access_token_call_credentials(access["token"])
    credentials = grpc.composite_channel_credentials(tls, token)
    address = access["addresses"][0]
    channel = grpc.secure_channel(address, credentials, options=options)
    check_refusals(address, tls)
    services = set(reflection.ProtoReflectionDescriptorDatabase(channel).get_services())
    for service in SERVICES:
        assert service in services, f"{service} is not among {sorted(services)}"

    sweeps = sweep_pb2_grpc.SweepServiceStub(channel)
    spec = types_pb2.SweepSpec(name=name, seed=7)
    spec.data.source = "builtin:digits"
    spec.fixed["epochs"].int = 5
    low, high = types_pb2.Value(float=1e-3), types_pb2.Value(float=1.0)
    spec.space.parameters.add(name="learning_rate", low=low, high=high)
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
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
        assert "search.trials" in error.details(), error

    seen = 0
    for sweep in sweeps.WatchSweep(sweep_pb2.WatchSweepRequest(sweep=name)):
        seen += 1
    assert seen >= 2, "the stream showed one state only"
    trials = list(sweeps.ExportTrials(sweep_pb2.ExportTrialsRequest(sweep=name)))
    assert [t.trial for t in trials] == list(range(6)) and all(len(t.curve) == 5 for t in trials)
    admin = worker_pb2_grpc.WorkerAdminServiceStub(channel)
    workers = admin.ListWorkers(worker_pb2.ListWorkersRequest()).workers
    assert [w.worker for w in workers] == ["w"], workers
    print(types_pb2.SweepState.Name(sweep.state), f"{sweep.best.objective:.4f}")


if __name__ == "__main__":
    main()
