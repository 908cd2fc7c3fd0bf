"""The messages and services of `caviar.v1`, generated into `folder`, which is removed at exit."""
import pathlib
import sys
import tempfile

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))
from protos import generate  # noqa: E402

temporary = tempfile.TemporaryDirectory()
folder = temporary.name
generate(folder)
from caviar.v1 import sweep_pb2, sweep_pb2_grpc, types_pb2  # noqa: E402, F401
from caviar.v1 import worker_pb2, worker_pb2_grpc  # noqa: E402, F401
