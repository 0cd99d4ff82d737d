#!/usr/bin/env bash
# A real single-node SLURM on loopback, with a simulated GPU: cluster.sh install | start | stop
# Needs root and Debian's slurm-wlm and munge. SLURM reads /etc/slurm only (job steps drop SLURM_CONF), so the
# configuration is written there; a configuration from elsewhere is left unchanged.
set -euo pipefail

state=/tmp/prunescope-slurm
mark="# written by prunescope's tests/slurm/cluster.sh"

install() {
  command -v slurmctld slurmd munged sbatch > /dev/null && return
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge
}

start() {
  [ "$(id -u)" = 0 ] || { echo "cluster.sh: needs root" >&2; exit 1; }
  if [ -e /etc/slurm/slurm.conf ] && ! grep -qF "$mark" /etc/slurm/slurm.conf; then
    echo "cluster.sh: /etc/slurm/slurm.conf was not written by this script; it is left unchanged" >&2
    exit 3
  fi
  stop
  mkdir -p "$state"/ctld "$state"/d /run/munge /etc/slurm
  memory=$(awk '/MemTotal/ { print int($2 / 1024 * 0.9) }' /proc/meminfo)
  cat > /etc/slurm/slurm.conf <<CONF
$mark
ClusterName=prunescope
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=2,batch_sched_delay=0
MinJobAge=3600
ReturnToService=2
StateSaveLocation=$state/ctld
SlurmdSpoolDir=$state/d
SlurmctldPidFile=$state/slurmctld.pid
SlurmdPidFile=$state/slurmd.pid
SlurmctldLogFile=$state/slurmctld.log
SlurmdLogFile=$state/slurmd.log
GresTypes=gpu
NodeName=localhost NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$memory Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes=localhost Default=YES MaxTime=INFINITE State=UP
CONF
  touch "$state/gpu0"
  printf '%s\nName=gpu File=%s/gpu0\n' "$mark" "$state" > /etc/slurm/gres.conf
  munged --force --pid-file="$state/munged.pid" 2> "$state/munged.log"
  slurmctld -c
  slurmd -N localhost 2> /dev/null || slurmd
  for _ in $(seq 300); do
    sinfo -h -o %t 2> /dev/null | grep -q idle && return
    sleep 0.1
  done
  echo "cluster.sh: the node did not come up; see $state/*.log" >&2
  exit 1
}

# Ends only the processes named in its own pid files.
stop() {
  for daemon in slurmd slurmctld munged; do
    if [ -e "$state/$daemon.pid" ]; then
      kill "$(cat "$state/$daemon.pid")" 2> /dev/null || true
    fi
  done
  sleep 0.5
  rm -rf "$state"
  for file in slurm.conf gres.conf; do
    if grep -qsF "$mark" "/etc/slurm/$file"; then rm "/etc/slurm/$file"; fi
  done
}

case "${1:-}" in
  install | start | stop) "$1" ;;
  *) echo "usage: cluster.sh install | start | stop" >&2; exit 2 ;;
esac
