"""Clients of a coordinator's TrialService: `caviar_clients.py HOST:PORT COUNT`."""
import itertools
import os
import sys

import grpc
from clients import serve

from stubs import trial_pb2, trial_pb2_grpc, types_pb2

numbers = itertools.count()


class Client:
    def __init__(self, address):
        # Every client has a connection of its own, as Optuna's have.
        options = [("grpc.use_local_subchannel_pool", 1)]
        self.channel = grpc.insecure_channel(address, options=options)
        grpc.channel_ready_future(self.channel).result(timeout=60)
        self.trials = trial_pb2_grpc.TrialServiceStub(self.channel)
        self.name = f"{os.getpid()}-{next(numbers)}"
        self.requests = itertools.count()


def run_trial(client):
    request = {"sweep": "bench", "client": client.name}
    asked = []
    while not asked:
        request_id = f"{client.name}-{next(client.requests)}"
        ask = trial_pb2.AskTrialsRequest(**request, request_id=request_id, count=1, wait_ms=1000)
        reply = client.trials.AskTrials(ask)
        if reply.over:
            sys.exit("the sweep has too few trials")
        asked = reply.trials
    trial = {"sweep": "bench", "trial": asked[0].trial, "lease": asked[0].lease}
    value = asked[0].assignment.values["dropout"].float
    report = {**trial, "epoch": 1, "metrics": {"value": value}}
    client.trials.ReportTrial(trial_pb2.ReportTrialRequest(**report))
    tell = trial_pb2.TellTrialRequest(**trial, outcome=types_pb2.OUTCOME_COMPLETED)
    client.trials.TellTrial(tell)


serve(Client, run_trial)
