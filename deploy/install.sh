#!/bin/sh
# Installs retouchd as a service; `make install` runs it, as root, in the repository's root.
#
# usage: sh deploy/install.sh may    refuse, in a sentence, where an installation can't succeed
#        sh deploy/install.sh        install
#
# Reads DESTDIR (another root, for an image), DEVICE (cpu or gpu), PYTHON and UV.
#
# Every step looks first whether it is done, and what it makes gets its name when it is whole: run
# again, this goes on where it was cut off, and where all is done it changes nothing. Settings,
# networks and spools that are there stay as they are, and a running service is left alone.

set -eu
umask 022
cd "$(dirname "$0")/.."

say() { echo "retouchd: $*"; }

refuse() {
    echo "retouchd: $*" >&2
    exit 1
}

main() {
    [ "$(id -u)" = 0 ] || refuse "installing takes root's rights. Run: sudo make install"
    choose_places
    may_install
    [ "${1:-}" != may ] || exit 0
    lock
    trap ended EXIT
    install_program
    install_networks
    put 0644 deploy/settings.toml "$settings" keep
    put 0644 deploy/sysusers.conf "$root/etc/sysusers.d/retouchd.conf"
    put 0644 deploy/tmpfiles.conf "$root/etc/tmpfiles.d/retouchd.conf"
    make_user_and_spool
    install_unit
    trap - EXIT
    say_what_next
}

choose_places() {
    root=${DESTDIR:-}
    root=${root%/}
    if [ -n "$root" ]; then
        mkdir -p "$root"
        root=$(cd "$root" && pwd)
    fi
    venv=$root/opt/retouchd/venv
    networks=$root/opt/retouchd/networks
    settings=$root/etc/retouchd/settings.toml
    units=$root/etc/systemd/system
    changed=
}

# Two installations at once would each remove what the other has just made.
lock() {
    mkdir -p "$root/opt/retouchd"
    exec 9<"$root/opt/retouchd"
    flock --nonblock 9 || refuse "another installation is at work. Wait until it has ended."
}

ended() {
    echo "retouchd: not finished. Run \`make install\` again: what is done is kept." >&2
}

# -- What must be so ----------------------------------------------------------------------------

may_install() {
    if [ -z "$root" ] && [ ! -d /run/systemd/system ]; then
        refuse "this machine does not run systemd, so there is nothing to install a service in." \
            "\`make run\` runs retouchd by hand; DESTDIR=FOLDER installs into a folder."
    fi
    version=$(systemctl --version 2>/dev/null | awk 'NR == 1 { print int($2) }')
    [ "${version:-0}" -ge 252 ] || refuse "systemd is too old or missing: 252 or newer is needed."
    choose_device
    python=$(sh requirements/python.sh ${PYTHON:+"$PYTHON"})
    python=$("$python" -c 'import os, sys; print(os.path.realpath(sys._base_executable))')
    # Homes and temporary folders are hidden from the service.
    case $python in
    /root/* | /home/* | /tmp/* | /var/tmp/* | /run/user/*) refuse_python ;;
    esac
    setpriv --reuid=65534 --regid=65534 --clear-groups "$python" -c 'import ctypes, ssl' \
        2>/dev/null || refuse_python
}

refuse_python() {
    refuse "$python can't be started by the service's user. Install the system's own, on Debian or" \
        "Ubuntu with: apt-get install python3 python3-venv. Or name another that all may start:" \
        "make install PYTHON=/usr/bin/python3.12"
}

# What was chosen before stays: a driver that is not loaded just now must not make it the CPU's.
choose_device() {
    if [ -z "${DEVICE:-}" ]; then
        if [ -e "$units/retouchd.service.d/gpu.conf" ]; then
            DEVICE=gpu
        elif [ -e "$units/retouchd.service.d/cpu.conf" ]; then
            DEVICE=cpu
        elif [ -e /dev/nvidiactl ]; then
            DEVICE=gpu
        else
            DEVICE=cpu
        fi
    fi
    case $DEVICE in
    cpu | gpu) ;;
    *) refuse "DEVICE=$DEVICE: should be cpu or gpu." ;;
    esac
}

# -- The program --------------------------------------------------------------------------------

# Each version gets an environment of its own, and the link `venv` leads to the one to start. So what
# runs goes on, its workers too, with the packages that it began with.
install_program() {
    pins=$({ interpreter && cat requirements/retouchd.txt; } | sha256sum)
    whole=$({ echo "$pins" && sources; } | sha256sum)
    name=environments/$(echo "$whole" | cut -c 1-12)
    environment=$root/opt/retouchd/$name
    if holds "$environment" whole; then
        say "the program is up to date."
    else
        make_environment "$environment"
    fi
    link "$name" "$venv"
    remove_others
    mkdir -p "$root/usr/local/bin"
    link /opt/retouchd/venv/bin/retouchd "$root/usr/local/bin/retouchd"
}

# link TARGET NAME: a link, put into its place in one step.
link() {
    [ "$(readlink "$2")" != "$1" ] || return 0
    ln -sfn "$1" "$2.new"
    mv -T "$2.new" "$2"
    changed=yes
}

# Environments of earlier versions, and what was cut off; but not the one that still runs.
remove_others() {
    running=
    if [ -z "$root" ]; then
        pid=$(systemctl show --property=MainPID --value retouchd)
        running=$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") || true
    fi
    for other in "$root"/opt/retouchd/environments/*; do
        # Where /opt is a link, the process has been started by the path behind it.
        case " $running" in
        *" $other/"* | *" $(realpath "$other")/"*) ;;
        *) [ "$other" = "$environment" ] || remove_environment "$other" ;;
        esac
    done
}

# An environment that is half gone must not count as one that is there.
remove_environment() {
    rm -f "$1/.whole" "$1/.pins"
    rm -rf "$1"
}

interpreter() { "$python" -c 'import sys; print(sys.executable, sys.version)'; }

sources() {
    cat pyproject.toml
    find daemon export models -type f ! -path '*/__pycache__/*' -exec sha256sum {} + |
        LC_ALL=C sort
}

# holds FOLDER pins|whole: whether an environment has, to its end, what is wanted.
holds() {
    eval "wanted=\$$2"
    [ "$(cat "$1/.$2" 2>/dev/null)" = "$wanted" ] && "$1/bin/python" -c '' 2>/dev/null
}

make_environment() {
    choose_cache
    remove_environment "$1"
    mkdir -p "$(dirname "$1")"
    if holds "$venv" pins && mkdir "$1" && cp -al "$venv/." "$1" 2>/dev/null; then
        say "bringing the program up to date; its packages stay."
        rm -f "$1/.whole" # linked, as all of it: what is written anew must be a file of its own
    else
        say "installing Python packages: nearly 6 GB, most of it torch with its GPU libraries."
        remove_environment "$1"
        "$UV" venv --quiet --relocatable --python "$python" "$1"
        "$UV" pip sync --python "$1/bin/python" --require-hashes requirements/retouchd.txt
        echo "$pins" >"$1/.pins"
    fi
    "$UV" pip install --quiet --python "$1/bin/python" --no-deps --no-build-isolation \
        --reinstall-package retouchd .
    compile "$1"
    # Readable by all and writable by root alone, whatever the cache's files were.
    chown -R root:root "$1"
    chmod -R u+rwX,go+rX,go-w "$1"
    echo "$whole" >"$1/.whole"
}

# The service's user can't write here, so what Python keeps of its compiling is made now: of what
# the service imports, and not of all, which takes minutes.
compile() {
    say "compiling."
    (cd "$1"/lib/python*/site-packages &&
        "$1/bin/python" -m compileall -q daemon export models numba llvmlite pymatting &&
        "$1/bin/python" -c 'import daemon.cli, daemon.worker.retouching, numba, export.cli') \
        >/dev/null
}

# Files of the cache are linked, not copied, where that is possible. sudo may keep somebody's home:
# what lies in a cache of theirs they could change later.
choose_cache() {
    HOME=~root
    export HOME
    unset XDG_CACHE_HOME
    cache=$("$UV" cache dir)
    if [ -e "$cache" ] && [ "$(stat -c %u "$cache")" != 0 ]; then
        unset UV_CACHE_DIR
    fi
}

# -- The networks -------------------------------------------------------------------------------

install_networks() {
    missing=
    for name in inpaint matting; do
        is_there "$networks/$name.pt" || missing="$missing $name"
    done
    [ -n "$missing" ] || return 0
    say "exporting the starter networks."
    rm -rf "$networks/.new"
    mkdir -p "$networks/.new"
    "$venv/bin/retouchd-export" starter --output "$networks/.new"
    for name in $missing; do
        chmod 0644 "$networks/.new/$name.pt"
        (cd "$networks/.new" && sha256sum "$name.pt") >"$networks/.$name.starter"
        mv "$networks/.new/$name.pt" "$networks/$name.pt"
    done
    rm -rf "$networks/.new"
}

# -- The service --------------------------------------------------------------------------------

# A link to what is not mounted just now is there too.
is_there() { [ -e "$1" ] || [ -L "$1" ]; }

# put MODE SOURCE TARGET [keep]: a file, unless it is there as it should be, or is to be kept.
put() {
    if is_there "$3" && { [ "${4:-}" = keep ] || cmp -s "$2" "$3"; }; then
        return 0
    fi
    mkdir -p "$(dirname "$3")"
    install -m "$1" "$2" "$3.new"
    mv "$3.new" "$3"
    say "wrote ${3#"$root"}"
    changed=yes
}

make_user_and_spool() {
    if [ -n "$root" ] && [ ! -e "$root/etc/passwd" ]; then
        say "user and spool are made when that system boots (systemd-sysusers, systemd-tmpfiles)."
        return 0
    fi
    systemd-sysusers ${root:+"--root=$root"} retouchd.conf
    systemd-tmpfiles ${root:+"--root=$root"} --create retouchd.conf
}

install_unit() {
    before=$changed
    changed=
    put 0644 deploy/retouchd.service "$units/retouchd.service"
    put 0644 "deploy/$DEVICE.conf" "$units/retouchd.service.d/$DEVICE.conf"
    for other in cpu gpu; do
        if [ "$other" != "$DEVICE" ] && [ -e "$units/retouchd.service.d/$other.conf" ]; then
            rm -f "$units/retouchd.service.d/$other.conf"
            changed=yes
        fi
    done
    if [ -z "$root" ] && needs_reload; then
        systemctl daemon-reload
    fi
    changed=$before$changed
}

# An installation that was cut off may have written the unit and told nobody.
needs_reload() {
    [ -n "$changed" ] ||
        [ "$(systemctl show --property NeedDaemonReload --value retouchd)" = yes ]
}

say_what_next() {
    if [ -n "$root" ]; then
        say "installed into $root for the $DEVICE. To have it start there at boot:"
        echo "    systemctl --root='$root' enable retouchd"
    elif ! systemctl is-active --quiet retouchd; then
        say "installed for the $DEVICE. Settings: /etc/retouchd/settings.toml. Next:"
        echo "    runuser -u retouchd -- retouchd check --settings /etc/retouchd/settings.toml"
        echo "    systemctl enable --now retouchd"
    elif [ -n "$changed" ]; then
        say "updated; the service still runs as it was. When it suits: systemctl restart retouchd"
    else
        say "nothing has changed."
    fi
}

main "$@"
