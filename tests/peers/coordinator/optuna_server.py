"""Optuna's gRPC storage proxy: `optuna_server.py PORT URL`, or `memory` instead of a URL."""
import sys
import warnings

import optuna

warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
port, url = int(sys.argv[1]), sys.argv[2]
optuna.logging.set_verbosity(optuna.logging.ERROR)
memory = optuna.storages.InMemoryStorage
storage = memory() if url == "memory" else optuna.storages.get_storage(url)
optuna.create_study(storage=storage, study_name="bench")
optuna.storages.run_grpc_proxy_server(storage, host="127.0.0.1", port=port)
