"""A coordinator for one caviar-worker, with which any program decides what the worker trains."""
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
    """Generates the messages and services from the .proto files into a temporary folder."""
    out, proto = tempfile.mkdtemp(), ROOT / "proto"
    files = [str(path) for path in sorted(proto.glob("caviar/v1/*.proto"))]
    outputs = [f"--python_out={out}", f"--grpc_python_out={out}"]
    assert protoc.main(["protoc", f"-I{proto}", *outputs, *files]) == 0
    sys.path.insert(0, out)
    from caviar.v1 import sweep_pb2, sweep_pb2_grpc, types_pb2, worker_pb2, worker_pb2_grpc

    return sweep_pb2, sweep_pb2_grpc, types_pb2, worker_pb2, worker_pb2_grpc


sweep_pb2, sweep_pb2_grpc, types_pb2, worker_pb2, worker_pb2_grpc = generated()


def start_worker(programs, address, slots):
    options = ["--coordinator", f"http://{address}", "--name", "w", "--slots", str(slots)]
    command = [programs / "caviar-worker", *options]
    return subprocess.Popen(command, env={"RUST_LOG": "error"}, stdin=subprocess.DEVNULL)


class Driver(worker_pb2_grpc.WorkerServiceServicer):
    """A connected worker. Leaving `with Driver(...) as driver:` ends the worker."""

    def __init__(self, programs, slots):
        self.received, self.to_send = queue.Queue(), queue.Queue()
        self.leases = itertools.count(1)
        self.server = grpc.server(ThreadPoolExecutor(1))
        worker_pb2_grpc.add_WorkerServiceServicer_to_server(self, self.server)
        port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()
        self.worker = start_worker(programs, f"127.0.0.1:{port}", slots)
        hello = self.received.get(timeout=30)
        assert hello.WhichOneof("kind") == "hello", hello
        self.send(welcome=worker_pb2.Welcome(heartbeat_ms=1000, lease_ttl_ms=60_000, store=1))

    def Work(self, requests, context):
        def receive():
            try:
                for message in requests:
                    self.received.put(message)
            except grpc.RpcError:
                pass  # The connection was closed.

        threading.Thread(target=receive, daemon=True).start()
        yield from iter(self.to_send.get, None)

    def send(self, **kind):
        self.to_send.put(worker_pb2.CoordinatorMessage(**kind))

    def grant(self, sweep, trial, assignment, work="WORK_TRAIN"):
        """Grants the worker a trial. A coordinator has checked the sweep. Returns the lease."""
        lease = next(self.leases)
        self.send(grant=worker_pb2.Grant(
            lease=lease, sweep=1, sweep_name=sweep.name, trial=trial, attempt=1, work=work,
            seed=sweep.spec.seed, data=sweep.spec.data, digest=sweep.data.digest,
            fixed=types_pb2.Assignment(values=sweep.spec.fixed), assignment=assignment))
        return lease

    def next(self, seconds):
        """Acknowledges and returns the worker's next message and its kind, such as "report".

        Returns (None, None) after `seconds` without a message.
        """
        try:
            message = self.received.get(timeout=max(seconds, 0))
        except queue.Empty:
            return None, None
        kind = message.WhichOneof("kind")
        content = getattr(message, kind)
        if kind == "report":
            ack = worker_pb2.Ack(lease=content.lease, epoch=content.points[-1].epoch)
            self.send(ack=ack)
        elif kind == "finished":
            self.send(ack=worker_pb2.Ack(lease=content.lease, finished=True))
            assert content.outcome != types_pb2.OUTCOME_FAILED, content.message
        assert kind != "released", content
        return kind, content

    def stop(self, lease):
        self.send(stop=worker_pb2.Stop(lease=lease, reason="pruned"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.worker.kill()
        self.worker.wait()
        self.to_send.put(None)
        self.server.stop(None)
