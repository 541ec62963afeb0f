# shellcheck shell=bash
# Shared by prepare and run: which artefacts exist, and where they lie in the cache.
#
# An artefact is a directory whose name ends in the hash of the files that describe it, so an edited recipe gives a new
# directory and never a stale boot. A directory that exists is complete: it was renamed into place as the last step.

vm_dir=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
vm_cache=${VFIO_BROKER_TEST_CACHE:-/var/cache/vfio-broker-tests}
vm_kernels=(6.1 6.12 7.3 7.3-debug)

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 2
}

# recipe_hash PATH...: a short hash of files and of trees (names, modes and contents), relative to vm_dir.
recipe_hash() {
    (cd "$vm_dir" && find "$@" -type f -printf '%m %p ' -exec sha256sum {} \; -o -type l -printf '%p %l\n' |
        LC_ALL=C sort | sha256sum | cut -c1-12)
}

builder_artefact() { printf '%s/builder-%s\n' "$vm_cache" "$(recipe_hash recipe-builder.sh)"; }

source_artefact() {
    printf '%s/built-7.3-debug-%s\n' "$vm_cache" "$(recipe_hash recipe-builder.sh recipe-source.sh debug.config)"
}

kernel_artefact() {
    local recipes=(recipe-kernel.sh)
    [[ $1 != 7.3-debug ]] || recipes+=(recipe-builder.sh recipe-source.sh debug.config)
    printf '%s/linux-%s-%s\n' "$vm_cache" "$1" "$(recipe_hash "${recipes[@]}")"
}

# The tree that has usr/src/linux-headers-RELEASE for a kernel.
headers_tree() {
    if [[ $1 == 7.3-debug ]]; then source_artefact; else printf '%s/headers\n' "$(kernel_artefact "$1")"; fi
}

emulator_artefact() { printf '%s/emulator-%s\n' "$vm_cache" "$(recipe_hash recipe-emulator.sh)"; }

image_artefact() { printf '%s/root-bookworm-%s\n' "$vm_cache" "$(recipe_hash recipe-image.sh image)"; }

is_kernel() {
    local name
    for name in "${vm_kernels[@]}"; do [[ $name != "$1" ]] || return 0; done
    return 1
}
