# shellcheck shell=bash
# How a kernel is built from Debian's sources: 7.3 with debug.config. Sourced by prepare; part of that kernel's cache key.
#
# build_source WORK OUT leaves in OUT, as if Debian's packages had been unpacked there:
#   boot/vmlinuz-RELEASE, boot/config-RELEASE, lib/modules/RELEASE   the kernel
#   usr/src/linux-headers-RELEASE                                    what modules are built against
#   package                                                          the source package and its version
#   checkpatch.pl and what it reads                                  the kernel's own style checker

build_source() {
    local work=$1 out=$2 release
    private_apt "$work" trixie-backports
    (cd "$work/apt/debs" && in_private_apt "$work" apt-get -q download linux-source-7.3 >&2)
    dpkg-deb -W "$work"/apt/debs/*.deb >"$out/package"
    dpkg-deb --fsys-tarfile "$work"/apt/debs/*.deb | tar -xO ./usr/src/linux-source-7.3.tar.xz | tar -xJ -C "$work"
    rm -rf "$work/apt"
    mv "$work"/linux-source-7.3 "$work/linux"
    cp "${vm_dir:?}/debug.config" "$work/debug.config"
    # shellcheck disable=SC2016 # for the shell in there
    "$vm_dir/builder" --bind "$work" work -- bash -ec '
        cd /bound/work/linux
        make -s KCONFIG_ALLCONFIG=/bound/work/debug.config LOCALVERSION=-debug allnoconfig
        grep "^CONFIG_.*=[^n]" /bound/work/debug.config >/bound/work/wanted
        if grep -vxF -f .config /bound/work/wanted; then echo "the configuration does not have these" >&2; exit 1; fi
        make -s -j"$(nproc)" LOCALVERSION=-debug bzImage modules
        make -s LOCALVERSION=-debug INSTALL_MOD_PATH=/bound/work/tree modules_install
    ' >&2
    release=$(<"$work/linux/include/config/kernel.release")
    mkdir -p "$out/boot" "$out/usr/lib" "$out/usr/src"
    cp "$work/linux/arch/x86/boot/bzImage" "$out/boot/vmlinuz-$release"
    cp "$work/linux/.config" "$out/boot/config-$release"
    mv "$work/tree/lib/modules" "$out/usr/lib/modules"
    rm -f "$out/usr/lib/modules/$release/build"
    keep_headers "$work/linux" "$out/usr/src/linux-headers-$release"
    cp "$work"/linux/scripts/{checkpatch.pl,spelling.txt,const_structs.checkpatch} "$out/"
}

# keep_headers LINUX TO: of a built tree, what building a module needs.
keep_headers() {
    local linux=$1 to=$2
    mkdir -p "$to/tools" "$to/arch/x86/tools"
    cp -a "$linux"/{Makefile,.config,Module.symvers,include,scripts} "$to/"
    cp -a "$linux"/arch/x86/{Makefile*,include,tools} "$to/arch/x86/"
    cp -a "$linux/tools/objtool" "$to/tools/"
    find "$to/scripts" "$to/tools" "$to/arch" -name '*.o' -delete
    rm -rf "$to/scripts/dtc"
}
