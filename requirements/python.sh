# Print a Python that this project runs on, or say on stderr what to install.
#
# usage: sh requirements/python.sh [PYTHON]
#
# The system's own comes first: an environment made from an interpreter in somebody's home can't be
# started by another user. One without the venv module is the last resort: it does where uv is
# there already.

candidates=${1:-/usr/bin/python3.13 /usr/bin/python3.12 /usr/bin/python3.11 \
    python3.13 python3.12 python3.11 python3}
fitting='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
complete='import ensurepip, venv'

for wanted in "$fitting; $complete" "$fitting"; do
    for python in $candidates; do
        if "$python" -c "$wanted" 2>/dev/null; then
            command -v "$python"
            exit 0
        fi
    done
done
if [ $# -gt 0 ]; then
    echo "retouchd needs Python 3.11, 3.12 or 3.13, and $1 is none of these." >&2
else
    echo "retouchd needs Python 3.11, 3.12 or 3.13, and none was found. On Debian or Ubuntu:" \
        "apt-get install python3 python3-venv. Or name yours: make PYTHON=/path/to/python3." >&2
fi
exit 1
