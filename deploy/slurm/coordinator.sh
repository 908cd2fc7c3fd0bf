#!/bin/bash
#SBATCH --job-name=caviar-coordinator
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --output=caviar-coordinator-%j.log
# A coordinator for workers of worker.sh and for any number of sweeps. Submit it in a folder that
# all nodes share; the store and the join string for workers are kept there. When the job ends,
# submit it again: it continues with the same store.
set -euo pipefail
store=${CAVIAR_STORE:-$PWD/caviar.db}
exec "${CAVIAR_PROGRAM:-caviar}" coordinator --listen :0 --store "$store" \
    --join-file "${CAVIAR_JOIN_FILE:-$store.join}"
