# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Shared by the cases. A case is a script that runs in the VM as root, with the project installed, prints "ok - …",
# "not ok - …" and "skipped - …" lines, and leaves the system as it found it.

set -uo pipefail
case_name=${0##*/}
tests=/usr/lib/vfio-broker-tests # the programs of this folder
examples=/usr/libexec/vfio-broker/examples
claims=/run/vfio-broker/claims
PATH=$PATH:$tests:$examples
case_failed=0
# shellcheck disable=SC2034 # used by the cases
case_began=$EPOCHSECONDS # the journal has what earlier cases of this boot have provoked
case_complete=
started=() # what start_steps and start have in the background
work=$(mktemp -d "/run/vfio-test.XXXXXX")
chmod 777 "$work"
exec {never}<> <(:) # nothing can ever be read from it

# shellcheck disable=SC2034 # used by the cases
tester=(setpriv --reuid=1000 --regid=1000 --init-groups --bounding-set=-all --inh-caps=-all --no-new-privs --)
# shellcheck disable=SC2034
other=(setpriv --reuid=1001 --regid=1001 --init-groups --bounding-set=-all --inh-caps=-all --no-new-privs --)

# --- verdicts ---------------------------------------------------------------------------------------------------------

# verdict STATUS NAME [WHY]: one line; a failure is followed by WHY and the end of the journal.
verdict() {
    if (($1 == 0)); then
        printf 'ok - %s: %s\n' "$case_name" "$2"
        return
    fi
    case_failed=1
    printf 'not ok - %s: %s\n' "$case_name" "$2"
    printf '%s\n' "${3-}" | sed 's/^/#   /'
    journalctl -q --no-pager -o short-monotonic -u 'vfio*' -n 8 | sed 's/^/#   | /'
}

# check NAME COMMAND...: its success is the verdict.
check() {
    local name=$1 output status=0
    shift
    output=$("$@" 2>&1) || status=$?
    verdict "$status" "$name" "exit code $status of: $*"$'\n'"$output"
}

# is NAME GOT EXPECTED
is() {
    local status=0
    [[ $2 == "$3" ]] || status=1
    verdict $status "$1" "got:      '$2'"$'\n'"expected: '$3'"
}

# matches NAME TEXT PATTERN...: every extended regular expression is found in TEXT.
matches() {
    local name=$1 text=$2 pattern missing=
    shift 2
    for pattern in "$@"; do
        [[ $text =~ $pattern ]] || missing+="not found: $pattern"$'\n'
    done
    verdict $((${#missing} > 0)) "$name" "$missing""in: $text"
}

skip() { printf 'skipped - %s: %s: %s\n' "$case_name" "$1" "$2"; }

note() { printf '# %s: %s\n' "$case_name" "$*"; }

# What this kernel does not have and another one that run-suites boots has: no reason to say that something was not
# tested.
case $(uname -r) in
6.1.*) elsewhere='no windows on this kernel' ;;
*-debug) elsewhere='it is built in' ;;
*) elsewhere='this kernel has no /dev/iommu' ;;
esac
# The kernel that looks for its own bugs takes that much longer.
patience=1
[[ $(uname -r) != *-debug ]] || patience=5

# relay: the verdicts that a program has printed (verdict.h), from standard input, as this case's own.
relay() {
    local line
    while IFS= read -r line; do
        case $line in
        'ok - '*) verdict 0 "${line#ok - }" ;;
        'not ok - '*) verdict 1 "${line#not ok - }" ;;
        'skipped - '*": $elsewhere")
            note "not on this kernel, but on another that run-suites boots: ${line#skipped - }"
            ;;
        'skipped - '*) printf 'skipped - %s: %s\n' "$case_name" "${line#skipped - }" ;;
        *) note "${line#\# }" ;;
        esac
    done
}

# finish: the last statement of a case.
finish() {
    case_complete=yes
    exit "$case_failed"
}

at_exit() {
    local pid
    for pid in "${started[@]}"; do kill -KILL "$pid" 2>/dev/null; done
    [[ $case_complete ]] || printf 'not ok - %s: the script ended early\n' "$case_name"
    rm -rf "$work"
}
trap at_exit EXIT

# --- time -------------------------------------------------------------------------------------------------------------

nap() { read -rt "$1" -u "$never" || :; } # sleep without a process

# wait_until SECONDS COMMAND...: tries COMMAND again and again, which should not start processes; ten times at least,
# because an emulated clock may jump while its host is busy.
wait_until() {
    local end=$((${EPOCHREALTIME/./} + $1 * patience * 1000000)) tries=0
    shift
    until "$@"; do
        ((++tries < 10 || ${EPOCHREALTIME/./} < end)) || return 1
        nap 0.02
    done
}

# --- devices ----------------------------------------------------------------------------------------------------------

sysfs() { printf '/sys/bus/pci/devices/%s\n' "$1"; }
driver_is() { [[ /sys/bus/pci/devices/$1/driver -ef /sys/bus/pci/drivers/$2 ]]; }
driver_of() {
    local link
    # In one look: the driver may go between two.
    link=$(readlink "/sys/bus/pci/devices/$1/driver") || link=none
    echo "${link##*/}"
}
has_no_driver() { [[ ! -e /sys/bus/pci/devices/$1/driver ]]; }
override_of() { cat "/sys/bus/pci/devices/$1/driver_override"; }
group_of() { basename "$(readlink "/sys/bus/pci/devices/$1/iommu_group")"; }
bus_master() { local v; v=$(setpci -s "$1" COMMAND) && if ((0x$v & 4)); then echo on; else echo off; fi; }

# Nobody has the group's node open: a second open is EBUSY.
group_is_free() { [[ ! -c /dev/vfio/$1 ]] || { : <>"/dev/vfio/$1"; } 2>/dev/null; }

# fall_silent DEVICE: its root port sends everything for its bus to another, so that it reads all ones, until
# speak_again. For one at a time.
root_port_of() { basename "$(dirname "$(realpath "$(sysfs "$1")")")"; }
fall_silent() {
    silent_port=$(root_port_of "$1")
    silent_bus=$(setpci -s "$silent_port" SECONDARY_BUS)
    setpci -s "$silent_port" SECONDARY_BUS=fe SUBORDINATE_BUS=fe
}
speak_again() { setpci -s "$silent_port" SECONDARY_BUS="$silent_bus" SUBORDINATE_BUS="$silent_bus"; }

# The block device of an NVMe disk, by address.
block_of() { printf '/dev/%s\n' "$(basename "$(echo "/sys/bus/pci/devices/$1"/nvme/nvme*/nvme*n1)")"; }

# --- the service ------------------------------------------------------------------------------------------------------

broker_pid() { # -> broker; fails without one
    read -r broker 2>/dev/null </sys/fs/cgroup/system.slice/vfio-broker.service/cgroup.procs
}

# kill_broker: the one that serves, whose pid is in $before then. other_broker: another one than $before is there.
kill_broker() {
    wait_until 20 broker_pid || return 1
    before=$broker
    kill -KILL "$before" 2>/dev/null
}
other_broker() { broker_pid && ((broker != before)); }

keeper_pids() { # -> keepers
    local file pid
    keepers=()
    for file in /sys/fs/cgroup/system.slice/system-vfio*keeper.slice/vfio-keeper@*/cgroup.procs; do
        [[ -e $file ]] || continue
        while read -r pid; do keepers+=("$pid"); done 2>/dev/null <"$file"
    done
}

keepers_are() { # NUMBER
    keeper_pids
    ((${#keepers[@]} == $1))
}

# Nothing is leased, claimed or left over: one broker, one spare keeper, no claim record.
is_idle() {
    local claimed=("$claims"/*)
    # The pattern itself: no file. What it found may be gone a moment later, one after the other.
    [[ ${claimed[0]} == "$claims/*" ]] || return 1
    broker_pid || return 1
    keepers_are 1
}

fds_of() { local fds=("/proc/$1/fd/"*); echo "${#fds[@]}"; }

ensure_broker() {
    is_idle || systemctl start vfio-broker.socket vfio-broker.service && wait_until 30 is_idle
}

# What list says of a device: free, leased ...
state_of() {
    vfio-brokerctl list | awk -v device="$1" '$1 == device {
        for (i = 5; i <= NF; i++) if ($i ~ /^(free|quarantined|leased|restoring|releasing)$/) print $i
    }'
}
in_state() { [[ $(state_of "$1") == "$2" ]]; }

# listed DEVICE: a user's LIST has it.
# found ARGUMENT...: grep(1), which reads all that it is given: after grep -q, who still writes has failed (pipefail).
found() { grep "$@" >/dev/null; }

listed() { "${tester[@]}" vfio-brokerctl list --json | found "\"$1\""; }

# case_rules [TEXT]: starts the broker again with rules that come before those of 50-tests.conf; without TEXT, with
# none.
case_rules() {
    local file=/etc/vfio-broker/policy.d/40-$case_name.conf
    if (($#)); then printf '%s\n' "$1" >"$file"; else rm -f "$file"; fi
    systemctl restart vfio-broker.service
    wait_until 15 is_idle
}

# left_idle: the check that each case ends with.
left_idle() {
    local status=0 file foreign=
    wait_until 10 is_idle || status=1
    for file in /sys/bus/pci/drivers/vfio-pci/0000:*; do
        [[ ! -e $file ]] || foreign+=" ${file##*/}"
    done
    [[ ! $foreign ]] || status=1
    verdict $status 'afterwards: one spare keeper, no claim, nothing with vfio-pci' \
        "claims: $(ls "$claims"); with vfio-pci:$foreign; keepers: ${keepers[*]-}; broker: ${broker-}"
}

# --- clients ----------------------------------------------------------------------------------------------------------

# start NAME COMMAND...: in the background, output in $work/NAME, a pipe as standard input. -> pid_of[NAME]
declare -A pid_of=() pipe_of=()
start() {
    local name=$1 pipe
    shift
    : >"$work/$name" # waits looks there
    rm -f "$work/$name.in"
    mkfifo "$work/$name.in"
    exec {pipe}<>"$work/$name.in"
    "$@" <"$work/$name.in" >"$work/$name" 2>&1 {pipe}>&- &
    pid_of[$name]=$!
    disown "$!" # or the shell would tell of each that is killed
    pipe_of[$name]=$pipe
    started+=("$!")
}

said() { [[ $(<"$work/$1") == *"$2"* ]]; }
ended() { [[ ! -e /proc/$1/exe ]]; } # a zombie has none, and no files any more

# waits NAME: it has come to its next "read" or "pause" step.
waiting() { [[ $(<"$work/$1") == *': waiting' ]]; }
waits() { wait_until 15 waiting "$1"; }

# next NAME: past its "read" step, to the next one or to "pause".
next() {
    printf 'go\n' >>"$work/$1" # so that "waiting" is not the last line any more
    printf 'go\n' >&"${pipe_of[$1]}"
    waits "$1"
}

# stop NAME [SIGNAL]: kills it, waits for it.
stop() {
    kill "-${2-KILL}" "${pid_of[$1]}" 2>/dev/null
    wait_until 15 ended "${pid_of[$1]}"
    local pipe=${pipe_of[$1]}
    exec {pipe}>&-
    rm -f "$work/$1.in"
}
