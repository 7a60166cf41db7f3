#!/bin/sh
# Takes the service away again; `make uninstall` runs it, as root. What people have put in stays:
# pictures in /var/lib/retouchd, settings in /etc/retouchd, networks and drop-ins of their own.
#
# Reads DESTDIR, as install.sh does. May be run again where it was cut off.

set -eu

root=${DESTDIR:-}
root=${root%/}
networks=$root/opt/retouchd/networks
dropins=$root/etc/systemd/system/retouchd.service.d

say() { echo "retouchd: $*"; }

if [ "$(id -u)" != 0 ]; then
    echo "retouchd: removing takes root's rights. Run: sudo make uninstall" >&2
    exit 1
fi

if [ -d "$root/opt/retouchd" ]; then
    exec 9<"$root/opt/retouchd"
    if ! flock --nonblock 9; then
        echo "retouchd: an installation is at work. Wait until it has ended." >&2
        exit 1
    fi
fi

if [ -n "$root" ]; then
    systemctl --quiet --root="$root" disable retouchd 2>/dev/null || true
elif [ -e /etc/systemd/system/retouchd.service ]; then
    say "stopping the service; a job in work is finished first."
    systemctl disable --now retouchd
fi

# A network is ours to remove if it is what the installation exported.
for name in inpaint matting; do
    if [ -e "$networks/.$name.starter" ]; then
        if (cd "$networks" && sha256sum --status --check ".$name.starter" 2>/dev/null); then
            rm -f "$networks/$name.pt"
        fi
        rm -f "$networks/.$name.starter"
    fi
done
# An environment that is half gone must not count as one that is there.
rm -f "$root"/opt/retouchd/environments/*/.whole "$root"/opt/retouchd/environments/*/.pins
rm -rf "$networks/.new" "$root/opt/retouchd/environments"
rm -f "$root/opt/retouchd/venv" "$root/usr/local/bin/retouchd" "$root/etc/sysusers.d/retouchd.conf" \
    "$root/etc/tmpfiles.d/retouchd.conf" "$root/etc/systemd/system/retouchd.service" \
    "$dropins/cpu.conf" "$dropins/gpu.conf"
for folder in "$networks" "$root/opt/retouchd" "$dropins"; do
    if [ -d "$folder" ] && ! rmdir "$folder" 2>/dev/null; then
        say "$folder stays: it holds files of yours."
    fi
done
if [ -z "$root" ]; then
    systemctl daemon-reload
    systemctl reset-failed retouchd 2>/dev/null || true
fi
say "removed. Left as they are: settings in $root/etc/retouchd, pictures in $root/var/lib/retouchd,"
say "and the user and group retouchd, whose files those are."
