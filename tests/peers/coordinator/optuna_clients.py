"""Clients of Optuna's gRPC storage proxy: `optuna_clients.py HOST:PORT COUNT`."""
import warnings

import optuna
from clients import serve
from optuna.distributions import FloatDistribution

# The parameters of the sweeps of `caviar bench coordinator`.
SPACE = {
    "learning_rate": FloatDistribution(1e-4, 1.0, log=True),
    "momentum": FloatDistribution(0.9, 0.999),
    "weight_decay": FloatDistribution(1e-6, 1e-2, log=True),
    "dropout": FloatDistribution(0.0, 0.5),
}


def start(address):
    host, port = address.split(":")
    storage = optuna.storages.GrpcStorageProxy(host=host, port=int(port))
    storage.wait_server_ready(timeout=60)
    sampler = optuna.samplers.RandomSampler()
    return optuna.load_study(study_name="bench", storage=storage, sampler=sampler)


def run_trial(study):
    trial = study.ask(SPACE)
    value = trial.params["dropout"]
    trial.report(value, 1)
    study.tell(trial, value)


warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
optuna.logging.set_verbosity(optuna.logging.ERROR)
serve(start, run_trial)
