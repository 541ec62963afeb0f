# shellcheck shell=bash
# How the root image is made; sourced by prepare. Part of the image's cache key, as is everything under image/.
#
# build_image WORK OUT leaves OUT/root.squashfs: bookworm (so that programs built on a bookworm host run in it) with systemd,
# no kernel, no maintainer script run. What those scripts would have done and a test may notice is done here by hand.

vm_packages=(
    base-files base-passwd debianutils systemd systemd-sysv udev dbus libnss-systemd kmod # the system
    bash dash coreutils util-linux mount login passwd procps findutils grep sed mawk gawk diffutils
    pciutils libc-bin libcap2-bin psmisc strace                               # what tests call
    libsystemd0 libseccomp2 libcap-ng0 libinih1 libjson-c5 libcmocka0         # what our programs link
    libasan8 libubsan1
)

# Units that cost time in every boot and serve no test. Those that load modules, make users and fill /run stay.
vm_unwanted_units=(
    sysinit.target.wants/{cryptsetup.target,integritysetup.target,veritysetup.target,proc-sys-fs-binfmt_misc.automount}
    sysinit.target.wants/systemd-{ask-password-console.path,binfmt.service,firstboot.service,journal-flush.service}
    sysinit.target.wants/systemd-{machine-id-commit.service,pcrphase-sysinit.service,pcrphase.service,random-seed.service}
    sysinit.target.wants/systemd-{repart.service,update-utmp.service}
    # /init mounts these
    sysinit.target.wants/{dev-hugepages.mount,dev-mqueue.mount,sys-fs-fuse-connections.mount,sys-kernel-config.mount}
    sysinit.target.wants/sys-kernel-{debug.mount,tracing.mount}
    sockets.target.wants/systemd-{initctl.socket,journald-audit.socket}
    # the socket stays: dbus starts when it is wanted
    multi-user.target.wants/{dbus.service,getty.target,systemd-ask-password-wall.path,systemd-logind.service}
    multi-user.target.wants/systemd-{update-utmp-runlevel.service,user-sessions.service}
    timers.target.wants/systemd-tmpfiles-clean.timer
)

# Of these two, only what is named here stays.
vm_udev_rules=(50-udev-default 60-block 60-persistent-storage 75-net-description 80-drivers 80-net-setup-link 99-systemd)
vm_tmpfiles=(dbus static-nodes-permissions systemd tmp var)

build_image() {
    local work=$1 out=$2 root=$1/root
    unpack_packages "$work" "$root"
    do_as_maintainer_scripts "$root"
    trim "$root"
    cp -rT --no-preserve=ownership "${vm_dir:?}/image" "$root"
    ldconfig -r "$root"
    # the machine's mirror, name and resolver are no part of the image
    rm -rf "$root"/etc/apt "$root"/etc/resolv.conf "$root"/var/{cache,lib/apt,log}/*
    mksquashfs "$root" "$out/root.squashfs" -quiet -no-progress -comp zstd -noI -noD -noF -noX >&2
}

unpack_packages() {
    local work=$1 root=$2 include
    include=$(IFS=,; printf '%s' "${vm_packages[*]}")
    apt-config dump | grep '^Acquire::' >"$work/apt.conf" || true # mmdebstrap's apt knows nothing of the host's proxies
    printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s bookworm main\n' "$(debian_mirror)" \
        >"$work/sources.list"
    mmdebstrap --quiet --mode=root --variant=extract --format=directory --include="$include" --aptopt="$work/apt.conf" \
        --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
        bookworm "$root" "$work/sources.list" >&2
}

do_as_maintainer_scripts() {
    local root=$1
    cp "$root/usr/share/base-passwd/passwd.master" "$root/etc/passwd"
    cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
    sed -i 's/^\([^:]*\):\*:/\1:x:/' "$root/etc/passwd" "$root/etc/group"
    cat >>"$root/etc/passwd" <<'EOF'
tester:x:1000:1000:unprivileged, in group storage:/home/tester:/bin/bash
other:x:1001:1001:unprivileged:/home/other:/bin/bash
EOF
    cat >>"$root/etc/group" <<'EOF'
tester:x:1000:
other:x:1001:
storage:x:1100:tester
EOF
    install -d -m 700 -o 1000 -g 1000 "$root/home/tester"
    install -d -m 700 -o 1001 -g 1001 "$root/home/other"
    systemd_sysusers "$root"

    printf 'vm\n' >"$root/etc/hostname"
    printf '127.0.0.1 localhost vm\n' >"$root/etc/hosts"
    printf '0123456789abcdef0123456789abcdef\n' >"$root/etc/machine-id"
    ln -sf ../proc/self/mounts "$root/etc/mtab"
    printf '%s\n' 'passwd: files systemd' 'group: files [SUCCESS=merge] systemd' 'shadow: files' 'gshadow: files' \
        'hosts: files' >"$root/etc/nsswitch.conf"
    # no test is about passwords: PAM lets everybody in
    rm -f "$root"/etc/pam.d/*
    printf '%s required pam_permit.so\n' auth account password session >"$root/etc/pam.d/other"
    # update-alternatives
    ln -sf gawk "$root/usr/bin/awk"
    ln -sf which.debianutils "$root/usr/bin/which"
    rm -rf "$root"/var/{run,lock}
    ln -s /run "$root/var/run"
    ln -s /run/lock "$root/var/lock"
}

# The image's own systemd-sysusers, because the host may have none.
systemd_sysusers() { chroot "$1" systemd-sysusers >&2; }

trim() {
    local root=$1 unit
    for unit in "${vm_unwanted_units[@]}"; do rm "$root/usr/lib/systemd/system/$unit"; done
    # of the generators only the one that reads systemd.mask= and the like from the kernel's command line
    find "$root/usr/lib/systemd/system-generators" -type l,f ! -name systemd-debug-generator -delete
    keep_only "$root/usr/lib/udev/rules.d" rules "${vm_udev_rules[@]}"
    keep_only "$root/usr/lib/tmpfiles.d" conf "${vm_tmpfiles[@]}"
    rm -rf "$root"/usr/lib/udev/hwdb.d "$root"/usr/share/{doc,man,locale,info,bash-completion,perl5,lintian}
    rm -rf "$root"/etc/{rc?.d,init.d,cron.*,logrotate.d}
}

# keep_only DIRECTORY SUFFIX NAME...: delete everything else in it.
keep_only() {
    local directory=$1 suffix=$2 name
    shift 2
    mkdir "$directory.new"
    for name in "$@"; do mv "$directory/$name.$suffix" "$directory.new/"; done
    rm -rf "$directory"
    mv "$directory.new" "$directory"
}
