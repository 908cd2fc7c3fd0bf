"""An S3 server in memory on any port, with one bucket, until its input ends.

Every object is two hours old, so that a coordinator that starts finds no blob in its grace period.
"""

import sys
from datetime import timedelta

import boto3
import moto.s3.models as models
from moto.server import ThreadedMotoServer

now = models.utcnow
models.utcnow = lambda: now() - timedelta(hours=2)

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
url = f"http://{host}:{port}"
boto3.client(
    "s3",
    endpoint_url=url,
    region_name="us-east-1",
    aws_access_key_id="any",
    aws_secret_access_key="any",
).create_bucket(Bucket="sweeps")
print(f"listening on {url}", file=sys.stderr, flush=True)
sys.stdin.read()
