# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# QEMU's monitor, for cases that change the machine they run on (run --guest-qmp). Sourced after lib.sh.
port=/dev/virtio-ports/qmp

# heard PATTERN: reads up to a line that matches. -> $line
heard() {
    local end=$((SECONDS + 15))
    while ((SECONDS < end)); do
        read -rt 5 -u "$monitor" line || return 1
        # shellcheck disable=SC2053 # a pattern
        [[ $line != $1 ]] || return 0
    done
    return 1
}

# monitor EXECUTE [ARGUMENTS]: a command and its answer (-> $line).
monitor() {
    printf '{"execute":"%s","arguments":{%s}}\n' "$1" "${2-}" >&"$monitor"
    if ! heard '{"@(return|error)"*' || [[ $line != '{"return"'* ]]; then
        echo "QEMU: ${line-}"
        return 1
    fi
}

# human_monitor COMMAND: one that QMP does not have. Its answer, in quotes, is the rest of $line.
human_monitor() { monitor human-monitor-command "\"command-line\":\"$1\""; }

# pull ID, plug ID DEVICE-ARGUMENTS: at a root port.
pull() { monitor device_del "\"id\":\"$1\"" && heard "*DEVICE_DELETED*\"device\": \"$1\"*"; }
plug() { monitor device_add "\"id\":\"$1\",$2"; }

# open_monitor, close_monitor: only the first case of a boot hears QEMU's greeting and may answer it.
open_monitor() {
    if [[ ! -e $port ]]; then
        verdict 1 'there is a monitor' 'boot with run --guest-qmp'
        finish
    fi
    exec {monitor}<>"$port"
    [[ -e /run/vfio-test.monitor ]] || { heard '{"QMP"*' && monitor qmp_capabilities && : >/run/vfio-test.monitor; }
    check 'there is a monitor' monitor query-status
}
close_monitor() { exec {monitor}>&-; }
