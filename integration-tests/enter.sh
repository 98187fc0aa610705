#!/bin/bash
# Becomes PID 1 of a test machine: called by machine.py inside `unshare` with fresh namespaces.
#
#   enter.sh ROOT NAME KIND TOKEN [SOURCE TARGET]...
#
# KIND: systemd or container. TOKEN: a word that machine.py looks for to see that we are in. The pairs: bind mounts.
set -euo pipefail
root=$1 name=$2 kind=$3 token=$4
shift 4

# nothing that is mounted from here on is seen outside, and pivot_root wants the new root to be a mount point
mount --make-rprivate /
mount --rbind "$root" "$root"
cd "$root"

mount -t proc proc proc
mount -t sysfs -o ro sysfs sys    # read-only: systemd then knows that the hardware isn't its own (no udev)

# The cgroup namespace was made after we joined our own cgroups, so each of these mounts shows only them:
# limits that are set inside are enforced by the kernel, and nothing outside can be touched.
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  mount -t cgroup2 cgroup2 sys/fs/cgroup
else
  mount -t tmpfs -o mode=755 cgroups sys/fs/cgroup
  for controller in $(cd /sys/fs/cgroup && find . -mindepth 1 -maxdepth 1 -type d -printf '%f\n'); do
    mountpoint -q "/sys/fs/cgroup/$controller" || continue
    mkdir "sys/fs/cgroup/$controller"
    case $controller in
      systemd) mount -t cgroup -o none,name=systemd cgroup "sys/fs/cgroup/$controller" ;;
      unified) mount -t cgroup2 cgroup2 "sys/fs/cgroup/$controller" ;;
      *) mount -t cgroup -o "$controller" cgroup "sys/fs/cgroup/$controller"
         # "cpu,cpuacct" is one hierarchy with two controllers, each of which is looked for under its own name
         for one in ${controller//,/ }; do [ -e "sys/fs/cgroup/$one" ] || ln -s "$controller" "sys/fs/cgroup/$one"; done ;;
    esac
  done
fi

# a /dev with only what every program may expect; net/tun so that a machine can hold machines of its own
mount -t tmpfs -o mode=755 dev dev
mkdir dev/pts dev/shm dev/net
for device in null zero full random urandom tty fuse net/tun; do
  [ -e "/dev/$device" ] || continue
  touch "dev/$device"
  mount --bind "/dev/$device" "dev/$device"
done
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=1777 shm dev/shm
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr

mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 tmp tmp
while [ $# -ge 2 ]; do
  mkdir -p "./$2"
  mount --bind "$1" "./$2"
  shift 2
done

echo "$name" > proc/sys/kernel/hostname
pivot_root . mnt
umount -l /mnt
mkdir /run/machine
touch "/run/machine/$token"

clean="env -i container=machine TERM=dumb PATH=/usr/sbin:/usr/bin:/sbin:/bin"
if [ "$kind" = systemd ]; then
  # releases with systemd 256 and later refuse cgroup v1 without being told
  exec $clean /lib/systemd/systemd SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1
fi
# A container's PID 1 that does nothing but reap what is orphaned, and ends at SIGTERM like one under Docker.
exec $clean /usr/bin/python3 -c '
import os, signal, sys
awaited = {signal.SIGCHLD, signal.SIGTERM}
signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
while signal.sigwait(awaited) != signal.SIGTERM:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
'
