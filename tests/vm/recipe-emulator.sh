# shellcheck shell=bash
# Which QEMU runs the VMs; sourced by prepare. Part of the emulator's cache key.
#
# Not bookworm's QEMU 7.2, in which a change of the machine's memory map, by a write to a device's command register for example, is
# seen by a processor that has not yet forgotten what it knew of the old map. Its next access then goes elsewhere: a VM stood still
# because the end of a timer interrupt never reached the interrupt controller, and QEMU crashed. 8.1.1 has a mend (tcg_commit() in
# system/physmem.c), which is not enough when several threads are the processors: see run.
#
# build_emulator WORK OUT leaves OUT/qemu, to be called like qemu-system-x86_64; OUT/root, where it has trixie's QEMU and libraries
# from; OUT/package, the packages and versions. The host's own packages stay as they are.

build_emulator() {
    local work=$1 out=$2 deb
    private_apt "$work" trixie
    in_private_apt "$work" apt-get -qq -y install --no-install-recommends --download-only qemu-system-x86 >&2
    mkdir "$out/root"
    for deb in "$work"/apt/archives/*.deb; do
        unpack_deb "$deb" "$out/root"
        dpkg-deb -W "$deb"
    done >"$out/package"
    rm -rf "$out"/root/{etc,var} "$out"/root/usr/share/{doc,man,locale,info}
    cat >"$out/qemu" <<'EOF'
#!/bin/sh
usr=$(dirname "$(readlink -f "$0")")/root/usr
QEMU_MODULE_DIR=$usr/lib/x86_64-linux-gnu/qemu exec "$usr/lib64/ld-linux-x86-64.so.2" --argv0 qemu-system-x86_64 \
    --library-path "$usr/lib/x86_64-linux-gnu" "$usr/bin/qemu-system-x86_64" -L "$usr/share/qemu" -L "$usr/share/seabios" "$@"
EOF
    chmod 755 "$out/qemu"
}
