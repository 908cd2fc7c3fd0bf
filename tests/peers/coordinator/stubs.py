"""The messages and services of `caviar.v1`, generated from the .proto files."""
import pathlib
import sys
import tempfile

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))
from protos import generate  # noqa: E402

with tempfile.TemporaryDirectory() as folder:
    generate(folder)
    from caviar.v1 import sweep_pb2, sweep_pb2_grpc  # noqa: F401
    from caviar.v1 import trial_pb2, trial_pb2_grpc, types_pb2  # noqa: F401
