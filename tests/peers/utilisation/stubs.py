"""The messages and services of `caviar.v1`, generated into `folder`, which is removed at exit."""
import pathlib
import sys
import tempfile

from grpc_tools import protoc

PROTO = pathlib.Path(__file__).resolve().parents[3] / "proto"


def generate(out):
    files = [str(path) for path in sorted(PROTO.glob("caviar/v1/*.proto"))]
    outputs = [f"--python_out={out}", f"--grpc_python_out={out}"]
    assert protoc.main(["protoc", f"-I{PROTO}", *outputs, *files]) == 0
    sys.path.insert(0, out)


temporary = tempfile.TemporaryDirectory()
folder = temporary.name
generate(folder)
from caviar.v1 import sweep_pb2, sweep_pb2_grpc, types_pb2  # noqa: E402, F401
from caviar.v1 import worker_pb2, worker_pb2_grpc  # noqa: E402, F401
