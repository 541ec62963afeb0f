# shellcheck shell=bash
# How the builder is made: a trixie with the compilers and tools that kernels and modules are built with (what is in Debian's
# header packages is linked with trixie's libc). Sourced by prepare; part of the builder's cache key and of those of what it builds.
#
# build_builder WORK OUT leaves the file system OUT/root; tests/vm/builder runs commands in it.

builder_packages=(gcc-14 gcc-12 make bc flex bison libelf-dev libssl-dev cpio kmod perl python3-minimal xz-utils pahole sparse dkms)

build_builder() {
    local work=$1 out=$2 include
    include=$(IFS=,; printf '%s' "${builder_packages[*]}")
    apt-config dump | grep '^Acquire::' >"$work/apt.conf" || true # mmdebstrap's apt knows nothing of the host's proxies
    printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s trixie main\n' "$(debian_mirror)" \
        >"$work/sources.list"
    mmdebstrap --quiet --mode=root --variant=minbase --format=directory --include="$include" --aptopt="$work/apt.conf" \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' trixie "$out/root" "$work/sources.list" >&2
    # No gcc by that name: what is built chooses its compiler, apart from the tools for the build itself.
    ln -s gcc-14 "$out/root/usr/bin/gcc"
    rm -rf "$out"/root/etc/apt/sources.list* "$out"/root/var/{cache,lib/apt,log}/*
    mkdir "$out/root/bound"
}
