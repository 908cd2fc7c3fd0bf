#!/usr/bin/env bash
# Starts or stops a few hosts for tests: network namespaces with an address, a name and an sshd
# each, joined by a switch in another namespace. They see each other, and nothing else. Needs root,
# and Debian's packages iproute2 and openssh-server.
#
#   up.sh start FOLDER [HOSTS]    prints the prefix of the namespaces: PREFIX-1, ..., PREFIX-switch
#   up.sh stop FOLDER
#
# Host N is node N with the address 10.98.0.N and the home folder FOLDER/nodeN. The port N of the
# switch is its cable. FOLDER/ssh is a configuration for ssh. Packets to 10.98.0.99 vanish.
set -euo pipefail

usage="usage: up.sh start FOLDER [HOSTS], or up.sh stop FOLDER"
action=${1:?$usage}
folder=$(realpath -m "${2:?$usage}")
hosts=${3:-4}
sshd=/usr/sbin/sshd

# namespaces PREFIX: the namespaces with this prefix.
namespaces() {
    ip netns list | cut -d ' ' -f 1 | grep "^$1-" || true
}

# remove PREFIX: ends every process in the namespaces with this prefix, and deletes them.
remove() {
    local all pids
    all=$(namespaces "$1")
    for signal in TERM KILL; do
        for _ in $(seq 50); do
            pids=$(for name in $all; do ip netns pids "$name"; done)
            [ -n "$pids" ] || break
            # shellcheck disable=SC2086 # several numbers
            kill -s "$signal" $pids 2>/dev/null || true
            sleep 0.1
        done
    done
    for name in $all; do ip netns delete "$name"; done
}

# Removes what tests left behind that were killed: their process is the number in the prefix.
remove_leftovers() {
    local prefix
    for prefix in $(namespaces caviar | grep -o '^caviar-[0-9]*' | sort -u); do
        kill -0 "${prefix#caviar-}" 2>/dev/null || remove "$prefix"
    done
}

skip() {
    echo "$1" >&2
    exit 3
}

# start_host NUMBER: the namespace, its cable, and its sshd.
start_host() {
    local name=$prefix-$1 node=node$1
    ip netns add "$name"
    ip -n "$prefix-switch" link add "port$1" type veth peer name eth0 netns "$name"
    ip -n "$prefix-switch" link set "port$1" master switch up
    ip -n "$name" link set lo up
    ip -n "$name" address add "10.98.0.$1/24" dev eth0
    ip -n "$name" link set eth0 up
    # No host has this hardware address, so nothing answers, and nothing refuses either.
    ip -n "$name" neighbour add 10.98.0.99 lladdr 02:00:00:00:00:99 dev eth0
    mkdir -p "$folder/$node"
    cat > "$folder/$node.sshd" <<END
ListenAddress 10.98.0.$1
HostKey $folder/host.key
AuthorizedKeysFile $folder/user.key.pub
StrictModes no
UsePAM no
PidFile none
PermitRootLogin yes
PasswordAuthentication no
Subsystem sftp internal-sftp
SetEnv HOME=$folder/$node
END
    # shellcheck disable=SC2016 # the inner shell expands it
    ip netns exec "$name" unshare --uts sh -c 'echo "$1" > /proc/sys/kernel/hostname; shift; "$@"' \
        sh "$node" "$sshd" -f "$folder/$node.sshd" -E "$folder/$node.sshd.log"
}

start() {
    [ "$(id -u)" = 0 ] || skip "network namespaces need root"
    command -v ip > /dev/null || skip "ip is missing: apt-get install iproute2"
    [ -x "$sshd" ] || skip "$sshd is missing: apt-get install openssh-server"
    remove_leftovers
    prefix=caviar-$PPID-$$
    mkdir -p "$folder"
    echo "$prefix" > "$folder/prefix"
    ip netns add "$prefix-switch" 2> /dev/null || skip "this machine allows no network namespaces"
    trap '[ $? = 0 ] || remove "$prefix"' EXIT
    ip -n "$prefix-switch" link add switch type bridge
    ip -n "$prefix-switch" link set switch up
    for key in host user; do
        ssh-keygen -q -t ed25519 -N "" -f "$folder/$key.key"
    done
    # Debian's sshd wants this folder, which systemd makes.
    mkdir -p /run/sshd
    for number in $(seq "$hosts"); do start_host "$number"; done
    cat > "$folder/ssh" <<END
IdentityFile $folder/user.key
IdentitiesOnly yes
StrictHostKeyChecking no
UserKnownHostsFile /dev/null
LogLevel ERROR
END
    for number in $(seq "$hosts"); do
        printf 'Host node%s\nHostName 10.98.0.%s\n' "$number" "$number" >> "$folder/ssh"
    done
    echo "$prefix"
}

case $action in
    start) start ;;
    stop) [ ! -f "$folder/prefix" ] || remove "$(cat "$folder/prefix")" ;;
    *) echo "$usage" >&2; exit 2 ;;
esac
