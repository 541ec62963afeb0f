# shellcheck shell=bash
# Shared by the checks: the list of the project's files, and results as TAP lines.

# The tree to look at: this one, or VFIO_BROKER_TREE.
# shellcheck disable=SC2034 # used by those who source this
top=$(realpath "${VFIO_BROKER_TREE:-$(dirname "$(realpath "${BASH_SOURCE[0]}")")/../..}")
cd "$top" || exit 2
failed=0

# files PATTERN...: the project's files, with the shell patterns that git knows as pathspecs; without git, all of the
# tree but build folders.
files() {
    if [[ $(git -c safe.directory='*' rev-parse --show-toplevel 2>/dev/null) == "$top" ]]; then
        git -c safe.directory='*' ls-files --cached --others --exclude-standard -- "$@" | while read -r file; do
            [[ ! -e $file ]] || printf '%s\n' "$file"
        done
    else
        local expression=() pattern
        for pattern in "$@"; do expression+=(-o -path "./$pattern" -o -path "./$pattern/*"); done
        ((${#expression[@]})) || expression=(-o -true)
        find . -path ./.git -prune -o -path './build*' -prune -o -type f \( "${expression[@]:1}" \) -printf '%P\n'
    fi
}

# list_of NAME: the list NAME of lib.py, one item a line.
list_of() { python3 "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/lib.py" "$1"; }

# circles: of pairs "A B" (A needs B) on stdin, each circle as a line; tsort(1) finds them.
circles() {
    { tsort 2>&1 >/dev/null || :; } | awk '
        function show() { if (first) print "a circle:" line " -> " first; line = first = "" }
        { sub(/^tsort: /, "") }
        /loop:$/ { show(); next }
        { line = line (first ? " -> " : " ") $0; first = first ? first : $0 }
        END { show() }'
}

# verdict NAME [COMPLAINTS]: one TAP line; any complaint is a failure, and each of its lines is shown.
verdict() {
    if [[ -z ${2:-} ]]; then
        printf 'ok - %s\n' "$1"
    else
        printf 'not ok - %s\n' "$1"
        # shellcheck disable=SC2001 # every line
        sed 's/^/# /' <<<"$2"
        failed=1
    fi
}

finish() { exit "$failed"; }
