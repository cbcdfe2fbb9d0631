#!/usr/bin/env bash
# Makes the disk of a bare Debian server for the virtual-machine lane: <cache>/<release>.{raw,vmlinuz,initrd}.
# Holds what the package depends on, so that nothing is downloaded inside the emulator; nothing of the platform itself.
#   vm/make-image.sh <bookworm|trixie> <cache directory>
set -euo pipefail
release=$1 cache=$2
here=$(dirname -- "$(readlink -f -- "$0")")
[ "$(id -u)" = 0 ] || { echo "make-image: needs root" >&2; exit 1; }
version=$(sha256sum <"$0" | cut -c1-16)
mkdir -p -- "$cache"
# Two lanes may want it at the same moment: the second waits for the first.
exec 9>"$cache/lock"
flock 9
[ "$(cat "$cache/$release.version" 2>/dev/null)" != "$version" ] || exit 0

work=$(mktemp -d -- "$cache/.work.XXXXXX")
trap 'rm -rf -- "$work"' EXIT
mkdir "$work/root"
# The mirrors, proxies and certificate authorities are this machine's.
mirror_of() {
	apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 2>/dev/null |
		awk -v want="$1" '$1 ~ want { print $2; exit }'
}
mirror=$(mirror_of '^[a-z]+$') security=$(mirror_of '^[a-z]+-security$')
: "${mirror:=http://deb.debian.org/debian}" "${security:=http://deb.debian.org/debian-security}"
apt-config dump | grep -E '^Acquire::(https?)(::|[[:space:]])' >"$work/apt.conf" || true
printf 'Acquire::Languages "none";\nAPT::Install-Recommends "false";\nAcquire::Retries "3";\n' >>"$work/apt.conf"

[ -e "$cache/key" ] || ssh-keygen -q -t ed25519 -N '' -C windlass-vm -f "$cache/key"
[ -e "$cache/host-key" ] || ssh-keygen -q -t ed25519 -N '' -C windlass-vm-host -f "$cache/host-key"

system=systemd-sysv,linux-image-cloud-amd64,initramfs-tools,udev,dbus,libpam-systemd,openssh-server,procps,kmod,curl,systemd-timesyncd
needed=runc,git,nftables,iproute2,e2fsprogs,mount,mmdebstrap,ca-certificates,debian-archive-keyring,adduser
mmdebstrap --quiet --mode=root --variant=minbase --include="$system,$needed" --aptopt="$work/apt.conf" \
	--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*' \
	--essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d"; printf "MODULES=list\nCOMPRESS=lz4\nFSTYPE=ext4\n" >"$1/etc/initramfs-tools/conf.d/vm"; printf "virtio_pci\nvirtio_blk\next4\n" >"$1/etc/initramfs-tools/modules"' \
	"$release" "$work/root" \
	"deb $mirror $release main" "deb $mirror $release-updates main" "deb $security $release-security main"

root=$work/root
echo windlass-vm >"$root/etc/hostname"
printf '127.0.0.1 localhost windlass-vm\n::1 localhost\n' >"$root/etc/hosts"
echo 'nameserver 10.0.2.3' >"$root/etc/resolv.conf"
echo '/dev/vda / ext4 errors=remount-ro 0 1' >"$root/etc/fstab"
# By name: by type it would also take the interfaces that the platform makes for tools.
printf '[Match]\nName=en* eth0\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\n' \
	>"$root/etc/systemd/network/wired.network"
install -D -m 600 "$cache/key.pub" "$root/root/.ssh/authorized_keys"
rm -f "$root"/etc/ssh/ssh_host_*
install -m 600 "$cache/host-key" "$root/etc/ssh/ssh_host_ed25519_key"
install -m 644 "$cache/host-key.pub" "$root/etc/ssh/ssh_host_ed25519_key.pub"
printf 'UseDNS no\nMaxSessions 100\nHostKey /etc/ssh/ssh_host_ed25519_key\n' >"$root/etc/ssh/sshd_config.d/vm.conf"
: >"$root/etc/machine-id"
mkdir -p "$root/var/log/journal"
systemctl --quiet --root="$root" enable systemd-networkd ssh
# What would take the emulator's time at moments of its own choosing; the clock is set by the tests.
systemctl --quiet --root="$root" mask apt-daily.timer apt-daily-upgrade.timer man-db.timer e2scrub_all.timer \
	e2scrub_reap.service fstrim.timer systemd-timesyncd.service systemd-networkd-wait-online.service apparmor.service
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*

cp "$root"/boot/vmlinuz-* "$work/vmlinuz"
cp "$root"/boot/initrd.img-* "$work/initrd"
truncate -s 12G "$work/raw"
mke2fs -q -t ext4 -E lazy_itable_init=1,lazy_journal_init=1,discard -d "$root" "$work/raw"
for file in vmlinuz initrd raw; do mv -f -- "$work/$file" "$cache/$release.$file"; done
echo "$version" >"$cache/$release.version"
