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

# apt_install PACKAGE...: quiet when all is well, the whole output when it is not.
apt_install() {
    apt_log=$(mktemp)
    say "apt: installing $*"
    # Recommended packages (apparmor, git, needrestart, ...) are not needed and double the time.
    if ! { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"; } \
        >"$apt_log" 2>&1; then
        tail -n 30 "$apt_log" >&2
        rm -f "$apt_log"
        give_up 1 "apt could not install: $*" "apt-get update && apt-get install $*" \
            "read apt's last lines above; when the network was at fault, run this command again"
    fi
    rm -f "$apt_log"
}
