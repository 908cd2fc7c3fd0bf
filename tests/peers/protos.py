"""Generates Python from the .proto files of `caviar.v1`."""
import pathlib
import sys

from grpc_tools import protoc

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"


def generate(out):
    """Writes the modules into the folder `out`, from which they can then be imported."""
    files = [str(path) for path in sorted(PROTO.glob("caviar/v1/*.proto"))]
    outputs = [f"--python_out={out}", f"--grpc_python_out={out}"]
    assert protoc.main(["protoc", f"-I{PROTO}", *outputs, *files]) == 0
    sys.path.insert(0, out)
