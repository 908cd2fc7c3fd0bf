#!/usr/bin/env bash
# Starts or stops a small Slurm for tests: a controller and several nodes, all of them processes on
# this machine, under names of their own. Needs root, and Debian's packages slurm-wlm and munge.
#
#   up.sh start FOLDER [NODES]    prints the path of slurm.conf, for SLURM_CONF
#   up.sh stop FOLDER
set -euo pipefail

usage="usage: up.sh start FOLDER [NODES], or up.sh stop FOLDER"
action=${1:?$usage}
folder=$(realpath -m "${2:?$usage}")
nodes=${3:-4}
# Another Slurm of this machine has other ports. Those above 32767 are for outgoing connections.
port=${CAVIAR_SLURM_PORT:-$((17810 + $$ % 250 * 50))}

stop() {
    # The process ids are in files, so that no other Slurm is touched.
    for file in "$folder"/run/slurmd-*.pid "$folder"/run/slurmctld.pid "$folder"/run/munged.pid; do
        [ -f "$file" ] || continue
        pid=$(cat "$file")
        kill "$pid" 2>/dev/null || continue
        for _ in $(seq 100); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
        kill -9 "$pid" 2>/dev/null || true
    done
}

# write_configuration HOST: every node is this host, with its own name and port.
write_configuration() {
    cat > "$folder/slurm.conf" <<END
ClusterName=caviar
SlurmctldHost=$1(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/run/munge.sock
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd-%n.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SlurmdParameters=config_overrides
SlurmctldTimeout=30
SlurmdTimeout=10
InactiveLimit=0
KillWait=5
MinJobAge=60
SchedulerParameters=sched_interval=1,sched_min_interval=100000
NodeName=n[1-$nodes] NodeHostname=$1 NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + nodes))] \\
  CPUs=2 RealMemory=1000 State=UNKNOWN
PartitionName=cpu Nodes=ALL Default=YES MaxTime=60:00 State=UP
END
}

start() {
    for program in munged slurmctld slurmd sbatch; do
        command -v "$program" > /dev/null || {
            echo "$program is missing: apt-get install slurm-wlm munge" >&2
            exit 3
        }
    done
    mkdir -p "$folder"/{munge,state,log,run}
    # munged refuses a key that others can read, and a socket in a folder that it cannot trust.
    chmod 700 "$folder/munge"
    chmod 755 "$folder" "$folder/state" "$folder/log" "$folder/run"
    head -c 1024 /dev/urandom > "$folder/munge/key"
    chmod 400 "$folder/munge/key"
    munged --key-file="$folder/munge/key" --socket="$folder/run/munge.sock" \
        --pid-file="$folder/run/munged.pid" --log-file="$folder/munge/log" \
        --seed-file="$folder/munge/seed" --num-threads=2 --force > /dev/null 2>&1
    write_configuration "$(hostname -s)"
    export SLURM_CONF=$folder/slurm.conf
    slurmctld -c > /dev/null 2>&1
    for number in $(seq "$nodes"); do
        mkdir -p "$folder/spool/n$number"
        slurmd -N "n$number" > /dev/null 2>&1
    done
    for _ in $(seq 300); do
        [ "$(sinfo -h -N -o %T 2>/dev/null | grep -cx idle)" = "$nodes" ] && break
        sleep 0.1
    done
    [ "$(sinfo -h -N -o %T | grep -cx idle)" = "$nodes" ] || {
        echo "the nodes are not idle after 30 s; their logs are in $folder/log" >&2
        sinfo -N -l >&2
        stop
        exit 1
    }
    echo "$SLURM_CONF"
}

case $action in
    start) start ;;
    stop) stop ;;
    *) echo "$usage" >&2; exit 2 ;;
esac
