"""Stands in for the coordinator before one caviar-worker, so that any program can decide what the worker trains."""
import itertools
import pathlib
import queue
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_tools import protoc

ROOT = pathlib.Path(__file__).resolve().parents[3]


def generated():
    """The messages and services, generated from the .proto files into a temporary folder."""
    out, proto = tempfile.mkdtemp(), ROOT / "proto"
    files = [str(path) for path in sorted(proto.glob("caviar/v1/*.proto"))]
    assert protoc.main(["protoc", f"-I{proto}", f"--python_out={out}", f"--grpc_python_out={out}", *files]) == 0
    sys.path.insert(0, out)
    from caviar.v1 import sweep_pb2, sweep_pb2_grpc, types_pb2, worker_pb2, worker_pb2_grpc

    return sweep_pb2, sweep_pb2_grpc, types_pb2, worker_pb2, worker_pb2_grpc


sweep_pb2, sweep_pb2_grpc, types_pb2, worker_pb2, worker_pb2_grpc = generated()


def start_worker(programs, address, slots):
    command = [programs / "caviar-worker", "--coordinator", f"http://{address}", "--name", "w", "--slots", str(slots)]
    return subprocess.Popen(command, env={"RUST_LOG": "error"}, stdin=subprocess.DEVNULL)


class Driver(worker_pb2_grpc.WorkerServiceServicer):
    """One worker, connected. `with Driver(...) as driver:` ends it."""

    def __init__(self, programs, slots):
        self.heard, self.to_say, self.leases = queue.Queue(), queue.Queue(), itertools.count(1)
        self.server = grpc.server(ThreadPoolExecutor(1))
        worker_pb2_grpc.add_WorkerServiceServicer_to_server(self, self.server)
        port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()
        self.worker = start_worker(programs, f"127.0.0.1:{port}", slots)
        hello = self.heard.get(timeout=30)
        assert hello.WhichOneof("kind") == "hello", hello
        self.say(welcome=worker_pb2.Welcome(heartbeat_ms=1000, lease_ttl_ms=60_000, store=1))

    def Work(self, requests, context):
        def hear():
            try:
                for message in requests:
                    self.heard.put(message)
            except grpc.RpcError:
                pass  # it was ended

        threading.Thread(target=hear, daemon=True).start()
        yield from iter(self.to_say.get, None)

    def say(self, **kind):
        self.to_say.put(worker_pb2.CoordinatorMessage(**kind))

    def grant(self, sweep, trial, assignment, work="WORK_TRAIN"):
        """Gives a trial of a sweep, which a coordinator has checked, to the worker; the lease."""
        lease = next(self.leases)
        self.say(grant=worker_pb2.Grant(
            lease=lease, sweep=1, sweep_name=sweep.name, trial=trial, attempt=1, work=work, seed=sweep.spec.seed, data=sweep.spec.data,
            digest=sweep.data.digest, fixed=types_pb2.Assignment(values=sweep.spec.fixed), assignment=assignment))
        return lease

    def next(self, seconds):
        """What the worker says next, acknowledged: ("report" or "finished", its message). Nothing after so many seconds."""
        try:
            message = self.heard.get(timeout=max(seconds, 0))
        except queue.Empty:
            return None, None
        kind = message.WhichOneof("kind")
        said = getattr(message, kind)
        if kind == "report":
            self.say(ack=worker_pb2.Ack(lease=said.lease, epoch=said.points[-1].epoch))
        elif kind == "finished":
            self.say(ack=worker_pb2.Ack(lease=said.lease, finished=True))
            assert said.outcome != types_pb2.OUTCOME_FAILED, said.message
        assert kind != "released", said
        return kind, said

    def stop(self, lease):
        self.say(stop=worker_pb2.Stop(lease=lease, reason="pruned"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.worker.kill()
        self.worker.wait()
        self.to_say.put(None)
        self.server.stop(None)
