"""The messages and services of `caviar.v1`, generated from the .proto files."""
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


with tempfile.TemporaryDirectory() as folder:
    generate(folder)
    from caviar.v1 import sweep_pb2, sweep_pb2_grpc  # noqa: F401
    from caviar.v1 import trial_pb2, trial_pb2_grpc, types_pb2  # noqa: F401
