# shellcheck shell=bash
# How the kernels are made; sourced by prepare. Part of the kernels' cache key: editing this file rebuilds them.
#
# build_kernel NAME WORK OUT leaves in OUT:
#   vmlinux            uncompressed, started through its PVH entry: saves the guest from unpacking it in emulation (a kernel
#                      without CONFIG_PVH is left as it was)
#   initrd             busybox and the modules that find the root; /init itself comes from run
#   modules.squashfs   usr/lib/modules/RELEASE with the modules below and what they need
#   headers/           usr/src/linux-headers-RELEASE and what belongs to it, for tests/vm/build-module; not with a kernel whose
#                      artefact has them elsewhere
#   release, package   uname -r, and the Debian packages and versions it came from

# Everything a test may want to load. What is built in or absent in a kernel is passed over.
vm_modules=(
    vfio_pci vfio_iommu_type1 vfio iommufd pci_stub uio_pci_generic irqbypass # what the project is about
    e1000 e1000e igb igbvf nvme virtio_net virtio_rng                       # host drivers of the devices under test
    cuse fuse loop null_blk dummy tun veth nbd ext4 btrfs msr cpuid          # what tests may build upon
    kvm kvm_amd                                                               # QEMU emulates AMD's virtualization
    autofs4 binfmt_misc configfs efivarfs vhost_net vhost_vsock 9p 9pnet_virtio
    virtio_console virtio_balloon udmabuf zram
)
# What /init needs, in this order.
vm_initrd_modules=(virtio_pci virtio_blk virtio_console squashfs overlay 9p 9pnet_virtio)

build_kernel() {
    local name=$1 work=$2 out=$3
    case $name in
    6.1) unpack_debian_kernel bookworm '6\.1\.' "$work" "$out" ;;
    6.12) unpack_debian_kernel trixie '6\.12\.' "$work" "$out" ;;
    7.3) unpack_debian_kernel trixie-backports '7\.3\.' "$work" "$out" ;;
    7.3-debug) use_built_kernel "$(source_artefact)" "$work" ;;
    *) die "no recipe for kernel $name" ;;
    esac
    # From here on a kernel is a tree like Debian's package: boot/vmlinuz-*, boot/config-*, lib/modules/RELEASE.
    local tree=$work/tree release
    release=$(basename "$tree"/lib/modules/*)
    depmod -b "$tree" "$release"
    cp "$work/package" "$out/package"
    cp "$tree/boot/config-$release" "$out/config"
    printf '%s\n' "$release" >"$out/release"
    extract_vmlinux "$tree/boot/vmlinuz-$release" "$out/vmlinux"
    make_initrd "$tree" "$release" "$work/initrd" >"$out/initrd"
    make_modules "$tree" "$release" "$work/modules" "$out/modules.squashfs"
}

# private_apt WORK SUITE: an apt of its own in WORK/apt, so that neither the host's lists nor its packages change.
private_apt() {
    local work=$1 suite=$2
    mkdir -p "$work"/apt/{lists/partial,archives/partial,debs}
    : >"$work/apt/status"
    printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' "$(debian_mirror)" "$suite" \
        >"$work/apt/sources.list"
    cat >"$work/apt/apt.conf" <<EOF
Dir::State "$work/apt";
Dir::State::lists "$work/apt/lists";
Dir::State::status "$work/apt/status";
Dir::Cache "$work/apt";
Dir::Etc::SourceList "$work/apt/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Acquire::Languages "none";
APT::Sandbox::User "root";
EOF
    in_private_apt "$work" apt-get -q update >&2
}

in_private_apt() { APT_CONFIG=$1/apt/apt.conf "${@:2}"; }

# unpack_debian_kernel SUITE VERSION WORK OUT: SUITE's newest kernel whose version begins with the regular expression VERSION:
# the kernel and its modules into WORK/tree, its headers into OUT/headers.
unpack_debian_kernel() {
    local suite=$1 version=$2 work=$3 out=$4 release packages deb
    private_apt "$work" "$suite"
    release=$(in_private_apt "$work" apt-cache pkgnames linux-headers- |
        sed -n "s/^linux-headers-\($version.*-amd64\)\$/\1/p" | grep -v -e -rt- -e -cloud- | sort -V | tail -n 1)
    [[ $release ]] || die "$suite has no kernel $version any more"
    # trixie-backports has the parts of an image in packages of their own.
    mapfile -t packages < <(in_private_apt "$work" apt-cache pkgnames linux- |
        grep -xE "linux-(image|binary|modules|base|headers)-${release//+/\\+}")
    mapfile -t -O "${#packages[@]}" packages < <(in_private_apt "$work" apt-cache depends "linux-headers-$release" |
        sed -n 's/^ *Depends: \(linux-kbuild-.*\|linux-headers-.*\)/\1/p')
    (cd "$work/apt/debs" && in_private_apt "$work" apt-get -q download "${packages[@]}" >&2)
    # bookworm's packages have /lib/modules, trixie's /usr/lib/modules: with this link both end in the same place
    mkdir -p "$work/tree/usr/lib" "$out/headers/usr/lib"
    ln -s usr/lib "$work/tree/lib"
    ln -s usr/lib "$out/headers/lib"
    for deb in "$work"/apt/debs/*.deb; do
        case ${deb##*/} in
        linux-headers-* | linux-kbuild-*) unpack_deb "$deb" "$out/headers" ;;
        *) unpack_deb "$deb" "$work/tree" ;;
        esac
        dpkg-deb -W "$deb"
    done >"$work/package"
    rm -rf "$out/headers/lib" "$out/headers/usr/share"
    # What used to be in boot/ lies with the modules since 7.3.
    [[ -d $work/tree/boot ]] || {
        mkdir "$work/tree/boot"
        mv "$work/tree/lib/modules/$release/vmlinuz" "$work/tree/boot/vmlinuz-$release"
        mv "$work/tree/lib/modules/$release/config" "$work/tree/boot/config-$release"
    }
}

unpack_deb() { dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --keep-directory-symlink; }

# use_built_kernel ARTEFACT WORK: what recipe-source.sh left, as WORK/tree.
use_built_kernel() {
    local built=$1 work=$2
    mkdir -p "$work/tree"
    cp -a "$built/boot" "$built/usr" "$work/tree/"
    rm -rf "$work/tree/usr/src"
    ln -s usr/lib "$work/tree/lib"
    cp "$built/package" "$work/package"
}

# A bzImage carries the size and the place of its compressed payload in its header (Documentation/arch/x86/boot.rst).
extract_vmlinux() {
    local image=$1 out=$2 setup_sects offset length magic
    setup_sects=$(od -An -tu1 -j $((0x1f1)) -N1 "$image")
    offset=$(od -An -tu4 -j $((0x248)) -N4 "$image")
    length=$(od -An -tu4 -j $((0x24c)) -N4 "$image")
    offset=$((offset + (setup_sects + 1) * 512))
    magic=$(od -An -tx1 -j "$offset" -N4 "$image" | tr -d ' ')
    # The last four bytes of the payload are the unpacked size, which only in gzip's format is part of the compressed stream.
    local unpack
    case $magic in
    28b52ffd) unpack=(zstd -dcq) length=$((length - 4)) ;;
    fd377a58) unpack=(xz -dcq) length=$((length - 4)) ;;
    1f8b*) unpack=(gzip -dcq) ;;
    *) die "$image: unknown compression $magic" ;;
    esac
    dd if="$image" bs=1M iflag=skip_bytes,count_bytes skip="$offset" count="$length" status=none | "${unpack[@]}" >"$out"
    [[ $(readelf -n "$out" 2>&1) == *Xen*0x00000012* ]] || cp "$image" "$out"
}

# module_files TREE RELEASE MODULE...: the modules' files and those they need, in loading order, relative to TREE.
module_files() {
    local tree=$1 release=$2 module
    shift 2
    for module in "$@"; do
        modprobe -d "$tree" -S "$release" --show-depends "$module" 2>/dev/null || true
    done | sed -n "s|^insmod $tree/\(.*\.ko[.a-z]*\).*|\1|p" | awk '!seen[$0]++'
}

# unpack_module FILE DIRECTORY: put a module there uncompressed.
unpack_module() {
    local name=${1##*/}
    case $1 in
    *.xz) xz -dc "$1" >"$2/${name%.xz}" ;;
    *.zst) zstd -dcq "$1" >"$2/${name%.zst}" ;;
    *) cp "$1" "$2/" ;;
    esac
}

make_initrd() {
    local tree=$1 release=$2 root=$3 file
    mkdir -p "$root"/{bin,modules,dev,proc,sys,mnt}
    cp "$(command -v busybox)" "$root/bin/busybox"
    while read -r file; do
        unpack_module "$tree/$file" "$root/modules"
        file=${file##*/}
        printf '%s\n' "${file%%.ko*}.ko"
    done < <(module_files "$tree" "$release" "${vm_initrd_modules[@]}") >"$root/modules/order"
    (cd "$root" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0)
}

make_modules() {
    local tree=$1 release=$2 root=$3 out=$4 file to
    mkdir -p "$root/usr/lib/modules/$release"
    ln -s usr/lib "$root/lib" # for depmod; not in the image
    while read -r file; do
        to=$root/${file%/*}
        mkdir -p "$to"
        unpack_module "$tree/$file" "$to"
    done < <(module_files "$tree" "$release" "${vm_modules[@]}" "${vm_initrd_modules[@]}")
    cp "$tree/lib/modules/$release"/modules.{builtin,builtin.modinfo,order} "$root/lib/modules/$release/"
    depmod -b "$root" "$release" 2>/dev/null
    rm "$root/lib"
    mksquashfs "$root" "$out" -quiet -no-progress -all-root -comp zstd -noI -noD -noF -noX >&2
}
