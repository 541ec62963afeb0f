# shellcheck shell=bash disable=SC2154 # lib.sh has them
# SPDX-License-Identifier: MIT
# For cases in which processes are made to wait for ever: who must not, and what others notice. Sourced after lib.sh.

shopt -s extglob
# What another user may notice. Where durations are the host's, a busy host must not fail this; but a close that lingers
# takes 60 s, and the other traps have no end. A new connection may have to wait for the start of a front, which takes
# the emulated machine half a second or more, and a start of the broker takes it a second.
answer_us=18000000 connect_us=18000000 start_us=40000000
[[ ${VM_CLOCK-} != instructions ]] || answer_us=50000 connect_us=3000000 start_us=4000000

# Nor may the case wait for a broker that does.
vfio-brokerctl() { timeout 20 "$(type -P vfio-brokerctl)" "$@"; }

# Processes are kept waiting for longer than the kernel finds normal.
expect_hangs() {
    hung_task_s=$(</proc/sys/kernel/hung_task_timeout_secs)
    echo 0 >/proc/sys/kernel/hung_task_timeout_secs
}
expect_no_hangs() { echo "$hung_task_s" >/proc/sys/kernel/hung_task_timeout_secs; }

# --- who waits --------------------------------------------------------------------------------------------------------

# pids_of PATTERN: the processes of the project's units but those that PATTERN matches. -> pids
pids_of() {
    local file pid top=/sys/fs/cgroup
    pids=()
    for file in $top/{system.slice/,vfio.slice/,}{vfio-broker.service,{system-,}vfio*.slice/*}/cgroup.procs; do
        # shellcheck disable=SC2053 # a pattern
        [[ -e $file && $file != $1 ]] || continue
        while read -r pid; do pids+=("$pid"); done 2>/dev/null <"$file"
    done
}

# holds_up PID: it does not go on. It sleeps, and no signal would end the sleep; or the kernel closes something for it,
# and waits for others. D alone may be a moment's: only three times in a row counts. -> why. Starts no process.
holds_up() {
    local stack lines key value i
    for ((i = 0; i < 3; i++)); do
        ((i == 0)) || nap 0.03
        mapfile -n 14 lines 2>/dev/null <"/proc/$1/stack"
        stack=${lines[*]}
        [[ $stack =~ tcp_close|inet_release|fuse_|userfaultfd ]] && continue
        value=
        while read -r key value; do
            [[ $key == State: ]] && break
        done 2>/dev/null <"/proc/$1/status"
        [[ $value == D* ]] || return 1
    done
    why="$1 ($(<"/proc/$1/comm")) is held up in:"$'\n'" $stack"$'\n'
}

# nobody_waits NAME [WHO]: WHO may wait, besides fronts and helpers.
nobody_waits() {
    local pid held='' who=front,helper${2+,$2}
    pids_of "*vfio*@(${who//,/|})@*"
    for pid in 1 "${pids[@]}"; do ! holds_up "$pid" || held+=$why; done
    verdict $((${#held} > 0)) "$1: nothing of the service waits but $who, nor does systemd" "$held"
}

# Fronts and helpers may wait for ever, but not once the trap is gone. -> why
all_go_on() {
    local pid
    pids_of ''
    for pid in "${pids[@]}"; do ! holds_up "$pid" || return 1; done
}

# With its file server, for which the trap's own end would wait: they are a process group.
stop_trap() {
    kill -KILL -- "-${pid_of[trap]}"
    stop trap
}

trap_is_gone() {
    wait_until 15 all_go_on
    verdict $? "$1: the trap is gone: everything goes on" "${why-}"
}

# --- what others notice -----------------------------------------------------------------------------------------------

# ping: -> answers: microseconds, or what else there was: of a session from before, of a new one
ping() {
    local line
    answers=(none none)
    printf 'go\n' >>"$work/pinger" # as next, with more patience
    printf 'go\n' >&"${pipe_of[pinger]}"
    wait_until 25 waiting pinger || return 0
    line=$(grep '^PING' "$work/pinger" | tail -n 1)
    [[ $line =~ ^PING:\ ([0-9]+) ]] && answers[0]=${BASH_REMATCH[1]}
    [[ $line =~ connection:\ ([0-9]+) ]] && answers[1]=${BASH_REMATCH[1]}
}
fast() { [[ $1 != none ]] && (($1 <= $2)); }
both_fast() { fast "${answers[0]}" "$answer_us" && fast "${answers[1]}" "$connect_us"; }
limits() { echo "PING took ${answers[*]} us, and may take $answer_us $connect_us us"; }

answered() {
    local status=0
    ping
    both_fast || status=1
    verdict $status "$1: another user is answered" "$(limits)"
    note "$1: PING of an old connection and of a new one: ${answers[*]} us"
    return $status
}
systemd_answers() { check "$1: systemd answers" timeout 15 systemctl show -p Version; }

# answered_again NAME SINCE [WHO]: by the next broker. WHO: as for nobody_waits.
answered_again() {
    local status=0 took
    ping
    took=$((${EPOCHREALTIME/./} - $2))
    [[ ${answers[*]} != *none* ]] && ((took <= start_us)) || status=1
    verdict $status "$1: another user is answered by the next broker" \
        "${answers[*]}, after $took us, which may be $start_us us"
    note "$1: answered after $((took / 1000)) ms"
    systemd_answers "$1"
    nobody_waits "$1" "${@:3}"
}

start_pinger() {
    start pinger "${tester[@]}" pinger
    check 'another user' waits pinger
}
