#!/bin/sh
# SPDX-License-Identifier: MIT
# The first process of a world of its own (test_systemd.py made its namespaces): a scratch copy of the root, and systemd in it.
#
#   systemd_world.sh SCRATCH SHARED      SCRATCH: an empty folder; SHARED: is /shared in there
set -e
scratch=$1 shared=$2
mount -t tmpfs -o size=512m tmpfs "$scratch"
cd "$scratch"
mkdir upper work root
mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work overlay root
cd root

# Before anything else runs: what systemd or a unit writes to sysctls would be the machine's.
mount -t proc proc proc
for machines in proc/sys proc/sysrq-trigger; do
	[ -e $machines ] || continue
	mount --bind $machines $machines
	mount -o remount,bind,ro $machines
done
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
for node in null zero full random urandom tty; do
	: >dev/$node
	mount --bind /dev/$node dev/$node
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
mount -t tmpfs tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
mkdir shared
mount --bind "$shared" shared
: >shared/console
: >dev/console
mount --bind shared/console dev/console

# Nothing of the machine's own: only what the scenario asks for.
rm -rf etc/systemd/system etc/systemd/user
mkdir -p etc/systemd/system
for unit in systemd-sysctl systemd-modules-load systemd-udevd systemd-udev-trigger systemd-udev-settle systemd-binfmt systemd-remount-fs \
	systemd-tmpfiles-setup-dev systemd-logind systemd-networkd systemd-resolved systemd-timesyncd systemd-journald systemd-hwdb-update; do
	ln -s /dev/null "etc/systemd/system/$unit.service"
done
for unit in systemd-journald.socket systemd-journald-dev-log.socket systemd-udevd-control.socket systemd-udevd-kernel.socket; do
	ln -s /dev/null "etc/systemd/system/$unit"
done
: >etc/fstab
cp -a shared/installed/. .
for unit in jobd jobd-runner; do
	mkdir "etc/systemd/system/$unit.service.d"
	printf '[Service]\nStandardError=append:/shared/log\n' >"etc/systemd/system/$unit.service.d/log.conf"
done
cat >etc/systemd/system/scenario.service <<'UNIT'
[Unit]
Description=What is tried
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
ExecStart=/shared/scenario
StandardOutput=file:/shared/out
StandardError=inherit
TimeoutStartSec=30
UNIT
cat >etc/systemd/system/scenario.target <<'UNIT'
[Unit]
Description=A world for one scenario
Requires=sysinit.target
Wants=scenario.service
After=sysinit.target
UNIT

mkdir old
pivot_root . old
umount -l old
exec env -i container=other PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin setpriv --bounding-set=-sys_time,-sys_module,-sys_rawio \
	/lib/systemd/systemd --system --unit=scenario.target --log-target=console --log-level=warning --show-status=no
