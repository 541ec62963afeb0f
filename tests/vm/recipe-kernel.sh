# shellcheck shell=bash
# How the kernels are made; sourced by prepare. Part of the kernels' cache key: editing this file rebuilds them.
#
# build_kernel NAME WORK OUT leaves in OUT:
#   vmlinux            uncompressed, started through its PVH entry: saves the guest from unpacking it in emulation (a kernel
#                      without CONFIG_PVH is left as it was)
#   initrd             busybox and the modules that find the root; /init itself comes from run
#   modules.squashfs   usr/lib/modules/RELEASE with the modules below and what they need
#   release, package   uname -r, and the Debian package and version it came from

# Everything a test may want to load. What is built in or absent in a kernel is passed over.
vm_modules=(
    vfio_pci vfio_iommu_type1 vfio iommufd pci_stub uio_pci_generic irqbypass # what the project is about
    e1000 e1000e igb igbvf nvme virtio_net virtio_rng                       # host drivers of the devices under test
    cuse fuse loop null_blk dummy tun veth nbd ext4 btrfs msr cpuid          # what tests may build upon
    autofs4 binfmt_misc configfs efivarfs vhost_net vhost_vsock 9p 9pnet_virtio
    virtio_console virtio_balloon udmabuf zram
)
# What /init needs, in this order.
vm_initrd_modules=(virtio_pci virtio_blk virtio_console squashfs overlay 9p 9pnet_virtio)

build_kernel() {
    local name=$1 work=$2 out=$3
    case $name in
    6.1) unpack_debian_kernel bookworm linux-image-amd64 "$work" ;;
    6.12) unpack_debian_kernel trixie linux-image-amd64 "$work" ;;
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

# unpack_debian_kernel SUITE METAPACKAGE WORK: download what METAPACKAGE depends on and unpack it into WORK/tree, through an
# apt of its own, so that neither the host's lists nor its packages change.
unpack_debian_kernel() {
    local suite=$1 meta=$2 work=$3 package
    mkdir -p "$work"/apt/{lists/partial,archives/partial,debs} "$work/tree/usr/lib"
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
    APT_CONFIG=$work/apt/apt.conf apt-get -q update >&2
    package=$(APT_CONFIG=$work/apt/apt.conf apt-cache depends "$meta" | sed -n '0,/^ *Depends: /s/^ *Depends: //p')
    (cd "$work/apt/debs" && APT_CONFIG=$work/apt/apt.conf apt-get -q download "$package" >&2)
    # bookworm's package has /lib/modules, trixie's /usr/lib/modules: with this link both end in the same place
    ln -s usr/lib "$work/tree/lib"
    dpkg-deb --fsys-tarfile "$work"/apt/debs/*.deb | tar -x -C "$work/tree" --keep-directory-symlink
    dpkg-deb -W "$work"/apt/debs/*.deb >"$work/package"
}

# A bzImage carries the size and the place of its compressed payload in its header (Documentation/arch/x86/boot.rst).
extract_vmlinux() {
    local image=$1 out=$2 setup_sects offset length magic
    setup_sects=$(od -An -tu1 -j $((0x1f1)) -N1 "$image")
    offset=$(od -An -tu4 -j $((0x248)) -N4 "$image")
    length=$(od -An -tu4 -j $((0x24c)) -N4 "$image")
    offset=$((offset + (setup_sects + 1) * 512))
    magic=$(od -An -tx1 -j "$offset" -N4 "$image" | tr -d ' ')
    # the last four bytes of the payload are the unpacked size, which is no part of the compressed stream
    local unpack
    case $magic in
    28b52ffd) unpack=(zstd -dcq) ;;
    fd377a58) unpack=(xz -dcq) ;;
    1f8b*) unpack=(gzip -dcq) ;;
    *) die "$image: unknown compression $magic" ;;
    esac
    dd if="$image" bs=1M iflag=skip_bytes,count_bytes skip="$offset" count=$((length - 4)) status=none | "${unpack[@]}" >"$out"
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
    mksquashfs "$root" "$out" -quiet -no-progress -all-root -noI -noD -noF -noX >&2
}
