# Words shared by the set-up scripts; sourced, never run.
# shellcheck shell=sh disable=SC2034 # the callers use what is set here

root_dir=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
venv_python=$root_dir/.venv/bin/python

say() { printf '==> %s\n' "$*" >&2; }

# give_up CODE WHAT_HAPPENED WHAT_WAS_TRIED WHAT_TO_DO: every failure answers the same three questions.
give_up() {
    printf '\nagentkit: %s\n  tried: %s\n  next:  %s\n' "$2" "$3" "$4" >&2
    exit "$1"
}

have() { command -v "$1" >/dev/null 2>&1; }

# At least two test workers: many tests wait for containers, not for the processor.
workers() { n=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); [ "$n" -ge 2 ] && echo "$n" || echo 2; }

# Debian and its children (Ubuntu, Mint, ...) name debian in ID or ID_LIKE.
on_debian() { [ -r /etc/os-release ] && grep -Eq '^ID(_LIKE)?=.*debian' /etc/os-release && have apt-get; }

# quietly COMMAND...: keeps the command's output to itself, but for a sign of life every few seconds.
# When the command fails, its last lines are shown and its exit code is returned.
quietly() {
    quiet_log=$(mktemp)
    # A session of its own, so that an interrupt can end it with all its children (a background
    # process ignores Ctrl-C). macOS has no setsid.
    if have setsid; then
        setsid "$@" >"$quiet_log" 2>&1 </dev/null &
    else
        "$@" >"$quiet_log" 2>&1 </dev/null &
    fi
    quiet_pid=$!
    trap 'kill -- "-$quiet_pid" 2>/dev/null || kill "$quiet_pid"; rm -f "$quiet_log"; exit 130' INT TERM
    ticks=0
    while kill -0 "$quiet_pid" 2>/dev/null; do
        sleep 0.2
        ticks=$((ticks + 1))
        [ $((ticks % 25)) -ne 0 ] || tail -n 20 "$quiet_log" | grep -v '^WARNING' | tail -n 1 | cut -c -96 | sed 's|^|    |' >&2
    done
    quiet_code=0
    wait "$quiet_pid" || quiet_code=$?
    trap 'exit 130' INT TERM
    [ "$quiet_code" -eq 0 ] || tail -n 30 "$quiet_log" >&2
    rm -f "$quiet_log"
    return "$quiet_code"
}

# apt_install PACKAGE...
apt_install() {
    say "apt: installing $*"
    # Recommended packages (apparmor, git, needrestart, ...) are not needed and double the time.
    if ! { quietly apt-get update &&
        quietly env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; }; then
        give_up 1 "apt could not install: $*" "apt-get update && apt-get install $*" \
            "read apt's last lines above; when the network was at fault, run this command again"
    fi
}

# env_is_current DIR: the virtual environment has all that the two files ask for. The stamp holds our
# own path, because an environment stops working when its checkout is moved.
env_is_current() {
    [ -x "$1/bin/python" ] && [ "$1/.agentkit-stamp" -nt pyproject.toml ] &&
        [ "$1/.agentkit-stamp" -nt constraints.txt ] && env_is_at_home "$1"
}
env_is_at_home() { [ "$(cat "$1/.agentkit-stamp" 2>/dev/null)" = "$root_dir" ]; }

# fill_env DIR: the package with everything that development and tests need, at pinned versions.
fill_env() {
    # --group came with pip 25.1; a fresh environment has the pip of its Python.
    if ! { quietly "$1/bin/python" -m pip install --upgrade 'pip>=25.1' &&
        quietly "$1/bin/python" -m pip install --constraint constraints.txt \
            --group dev --editable '.[acp,ag-ui,evals,mcp,otel,postgres,ray,serve]'; }; then
        give_up 1 "the packages could not be installed" "pip install with constraints.txt" \
            "read pip's last lines above; when a company proxy is at work, PIP_CERT and PIP_INDEX_URL help"
    fi
    printf '%s\n' "$root_dir" >"$1/.agentkit-stamp"
}
