#!/usr/bin/env bash
# Installs the Debian packages that "make test" needs where it may (as root, or
# with sudo that asks nothing); else it says which are missing and stops.
set -euo pipefail

packages=(
	postgresql-15   # the second store, started by the tests themselves
	chromium        # the pages, used as a person would
	fonts-noto-cjk  # so that Chinese has letters there
	python3-minimal # the service that is killed and healed is python3 -m http.server
	python3         # its standard library
	snmpd snmp snmpsim      # switches and other devices
	nut-server nut-client   # a UPS that is none
	python3-pymodbus        # an air conditioner that is none
	openssh-server          # servers, as another user of this machine
	redis-server mariadb-server # a service that is asked, and the other database
	smartmontools           # disks that are asked for their health
	btrfs-progs xfsprogs    # disks of files: arrays, mirrors, snapshots
	libvirt-daemon libvirt-clients # virtual machines that are none
	bind9-dnsutils          # asks name servers
	python3-winrm python3-gssapi gss-ntlmssp # another client of WinRM, and another side of NTLM
	nginx-light mosquitto   # the front door and the message broker of the fault park
	ipmitool openipmi       # management controllers of servers, and one that is none
	prometheus victoria-metrics # that push to us, and that we push to
	sqlite3         # looks into a data folder from outside
	gcc libc6-dev   # the race detector
	git curl procps
)

missing=()
for p in "${packages[@]}"; do
	if [[ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null)" != installed ]]; then
		missing+=("$p")
	fi
done
if ((${#missing[@]} == 0)); then
	exit 0
fi

as_root=()
if ((EUID != 0)); then
	if ! sudo -n true 2>/dev/null; then
		echo "The tests need these Debian packages; please install them:" >&2
		echo "  sudo apt-get install ${missing[*]}" >&2
		exit 1
	fi
	as_root=(sudo -n)
fi
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null
