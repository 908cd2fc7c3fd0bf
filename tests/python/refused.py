"""Lists sweeps once, and writes the status to standard error: refused.py ADDRESS [ACCESS].

ACCESS is a file with the output of `caviar access --json`.
"""

import json
import sys

import grpc

LIST = "/caviar.v1.SweepService/ListSweeps"

address, *files = sys.argv[1:]
if files:
    with open(files[0], encoding="utf-8") as file:
        access = json.load(file)
    credentials = grpc.ssl_channel_credentials(access["ca"].encode())
    options = [("grpc.ssl_target_name_override", access["server_name"])]
    channel = grpc.secure_channel(address, credentials, options)
    metadata = (("authorization", f"Bearer {access['token']}"),)
else:
    channel, metadata = grpc.insecure_channel(address), ()
try:
    channel.unary_unary(LIST)(b"", timeout=20, metadata=metadata)
    print("OK", file=sys.stderr)
except grpc.RpcError as error:
    print(error.code().name, error.details(), file=sys.stderr)
