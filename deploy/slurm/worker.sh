#!/bin/bash
#SBATCH --job-name=caviar-worker
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2
#SBATCH --no-requeue
#SBATCH --output=caviar-worker-%j.log
# A worker for the coordinator of coordinator.sh. Submit it in the same folder, as often as you
# like: sbatch --array=1-50 worker.sh. It leaves when it has had nothing to do for five minutes, and
# before the time limit of its job.
set -euo pipefail
store=${CAVIAR_STORE:-$PWD/caviar.db}
file=${CAVIAR_JOIN_FILE:-$store.join}
until [ -f "$file" ]; do
    sleep 1
done
exec "${CAVIAR_PROGRAM:-caviar}" worker --join "$file" --name "slurm-$SLURM_JOB_ID" \
    --idle-timeout 5m
