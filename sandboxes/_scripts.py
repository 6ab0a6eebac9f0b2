"""The runtime inside the sandbox: plain POSIX sh, nothing else is needed in an image.

Three programs, tested on bash, dash and busybox ash:

* ``PID1`` keeps a container alive, collects orphans, and ends it when its owner is gone.
* ``SUPERVISOR`` (S0) starts the shell that runs commands (C), and reports how it ended.
* ``CONTROL`` never runs a user's command. It finds and signals processes with builtins only, so
  that it works when no process can be started any more (a fork bomb at the pids limit).
"""

from __future__ import annotations

__all__ = ["CONTROL", "CONTROL_ARGUMENTS", "PID1", "SUPERVISOR", "quote"]


def quote(text: str) -> str:
    """Return the text as one shell word."""
    return "'" + text.replace("'", "'\\''") + "'"


CONTROL_ARGUMENTS = ["-s", "agentkit-control"]
"""Those of every control shell: by them ``PID1``, and the engine's list of what runs, know it."""

# Every $1 seconds it looks whether an owner is there, and ends after the $2th look in a row that
# finds none ($3 = how many have). An owner is there while its control shell is: a process whose
# parent is 0, so that it was started through the engine, and which is called so. Facts and no
# signals decide, as a signal can be missed: one that comes before its trap is set, or between a
# test and a `wait`.
# As process 1 of its namespace it is immune to every signal it does not trap: `kill -9 -1` and
# `kill 1` do nothing. Where no process can be started, the sleeper that was started in better
# times is waited for, and USR1 (a control shell's end, another agentkit's start) wakes it; `command
# eval` keeps dash and ash alive then, and bash, which ends all the same, becomes a new one.
PID1 = r"""
n=$3 s=
_owned() {
    for d in /proc/[0-9]*; do
        [ "$d" != /proc/1 ] || continue
        l=
        while IFS= read -r e || [ -n "$e" ]; do l=$l$e; done <"$d/stat"
        set -- ${l##*) }
        [ "$2" = 0 ] || continue
        IFS= read -r l <"$d/cmdline"
        case $l in *agentkit-control*) return 0 ;; esac
    done 2>/dev/null
    return 1
}
_look() { if _owned; then n=0; else n=$((n + 1)); fi; }
trap : USR1
trap 'trap - EXIT; exit 0' PWR
b=$BASH_EXECUTION_STRING
[ -z "$b" ] || trap '_look; exec "$BASH" -c "$b" "$0" "$1" "$2" "$n"' EXIT
while [ "$n" -lt "$2" ]; do
    c=
    { kill -0 $s || command eval 'sleep 86400 & s=$!'; } 2>/dev/null
    command eval 'sleep "$1" & c=$!' 2>/dev/null
    if [ -n "$c" ]; then
        while kill -0 $c 2>/dev/null; do wait $c; done
    else
        n=$2
        if _owned; then wait $s; fi
    fi
    _look
done
trap - EXIT
"""

# $1 = "auto", "bash" or "sh". Each line `OLDKEY NEWKEY` starts one more C; lines that a dead C
# left unread are skipped because they cannot know the old key. The key is never exported.
# Its own standard error is closed to it, as a shell likes to announce that its child was killed.
# The traps keep `kill 0` from ending S0 (a handler, unlike "ignore", is not inherited).
SUPERVISOR = r"""
trap : HUP INT QUIT TERM
c=sh
[ "$1" = sh ] || { command -v bash >/dev/null 2>&1 && c='bash --norc --noprofile'; }
exec 3>&2 2>/dev/null
IFS= read -r k || exit 0
printf '\036%s:S%s %s:%s\036\n' "$k" "$$" "${c%% *}" "$k" >&3
printf '\036%s::%s\036\n' "$k" "$k"
while :; do
    ( exec $c 2>&3 3>&- )
    s=$?
    printf '\036%s:X%s:%s\036\n' "$k" "$s" "$k" >&3
    printf '\036%s:X%s:%s\036\n' "$k" "$s" "$k"
    while :; do
        IFS= read -r l || exit 0
        case $l in "$k "*) k=${l#"$k "}; break ;; esac
    done
done
"""

# _freeze C: stop C, so that it goes on to nothing else, and print the sandbox's clock (1/100 s).
# _scan SID C COOKIE FROM SURE JOB: find the processes of one command and put them into $T (all)
# and $N (those not stopped yet). They are: whatever was started in C's kernel session or below C
# since the command began, and whatever carries its COOKIE in the environment, which follows
# setsid and double forks. Jobs of earlier commands, and their children, are spared.
# The command began no earlier than FROM and no later than SURE, on that clock. For what was
# started in between, age does not tell: spared is JOB, the last that C had put into the
# background by then, and what carries another command's cookie.
# Else an environment is read only where parentage does not decide: dash reads byte by byte.
#
# _stop SIG ...: signal all but C, print how many there are.
# _kill ...: freeze until nobody new appears, then kill all and C; print how many there were.
# _reap PREFIX: end everything that carries a cookie of this sandbox or lives in its sessions.
CONTROL = r"""
export LC_ALL=C
_plain=$(printf %o $((0666 & ~$(umask))))
_sids=' '
_own=
_hold=
_refused=0
_d=
_dir() {
    for _d in /dev/shm /tmp /var/tmp "$HOME"; do
        _d=$_d/.agentkit-$1
        { [ -d "$_d" ] && [ -O "$_d" ]; } || mkdir -m 700 "$_d" 2>/dev/null || continue
        { printf '' >"$_d/.try"; } 2>/dev/null && return
    done
    _d=
}
_mark() {
    m=
    while IFS= read -r e || [ -n "$e" ]; do
        case $e in *AK_CMD="$2"*) m=mine; return ;; *AK_CMD=*) m=other ;; esac
    done 2>/dev/null <"/proc/$1/environ"
}
_stat() {
    # A process can put a line feed into its own name.
    l=
    while IFS= read -r e; do l=$l$e; done 2>/dev/null <"/proc/$1/stat"
    l=${l##*) }
    [ -n "$l" ]
}
_freeze() {
    kill -STOP "$1" 2>/dev/null
    read -r u e </proc/uptime
    echo "${u%.*}${u#*.}"
}
_earlier() {
    [ "$1" != "$J" ] || return 0
    n=$((n + 1))
    [ $n -le 40 ] || return 1
    _mark "$1" "$M"
    [ "$m" = other ]
}
_scan() {
    K=$1 C=$2 M=$3 B=$4 A=$5 J=$6 T=' ' N= S=' ' n=0
    for d in /proc/[0-9]*; do
        p=${d#/proc/}
        case $p in "$K"|"$C"|$$) continue ;; esac
        _stat "$p" || continue
        set -- $l
        case $1 in Z|X) continue ;; esac
        if [ "${20}" -lt "$B" ]; then
            [ "$4" != "$K" ] || S="$S$p "
            continue
        fi
        case $T$C' ' in
        *" $2 "*) [ "${20}" -ge "$A" ] || ! _earlier "$p" || { S="$S$p "; continue; } ;;
        *)  if [ "$4" = "$K" ]; then
                case $S in *" $2 "*) S="$S$p "; continue ;; esac
                ! _earlier "$p" || { S="$S$p "; continue; }
            else
                _mark "$p" "$M"
                # In a container of our own, an orphan without any cookie is this command's, too
                # (env -i; busybox, which runs its tools without exec).
                [ "$m" = mine ] || [ "$m$_own:$2" = "own:1" ] || continue
                case $_sids' 1 ' in *" $4 "*) [ "$m" = mine ] || continue ;; esac
            fi ;;
        esac
        T="$T$p "
        [ "$1" = T ] || N="$N $p"
    done
}
_count() { set -- $T; echo $#; }
_stop() {
    g=$1; shift
    _scan "$@"
    for p in $T; do kill -$g $p; kill -CONT $p; done 2>/dev/null
    _count
}
_left() { _scan "$@"; _count; }
_kill() {
    i=0 w=
    while [ $i -lt 20 ]; do
        i=$((i + 1))
        # A bomb's processes may live shorter than a scan takes: in a container of our own, the
        # kernel holds all of it still at once.
        [ "$i$_own" != 3own ] || { w=1; kill -STOP -1; }
        _scan "$@"
        for p in $N; do kill -STOP $p; done 2>/dev/null
        [ -n "$N" ] || break
    done
    if [ -z "$N" ] || [ -z "$_hold" ]; then
        for p in $T; do kill -KILL $p; done 2>/dev/null
        kill -KILL "$2" 2>/dev/null
    fi
    [ -z "$w" ] || kill -CONT -1
    _count
}
_ours() {
    T= N=
    for d in /proc/[0-9]*; do
        p=${d#/proc/}
        [ "$p" != $$ ] && _stat "$p" || continue
        set -- "$1" $l
        case $2 in Z|X) continue ;; esac
        # Session 0 is whatever was started outside of our process namespace: nothing of ours.
        case $_sids in
        *" 0 "*) return ;;
        *" $5 "*) ;;
        *) _mark "$p" "$1"; [ "$m" = mine ] || continue ;;
        esac
        T="$T $p"
        [ "$2" = T ] || N="$N $p"
    done
}
_reap() {
    i=0
    while [ $i -lt 30 ]; do
        i=$((i + 1))
        _ours "$1"
        [ -n "$T" ] || break
        if [ -z "$N" ]; then kill -KILL $T
        elif [ $i -lt 10 ]; then kill -STOP $N
        elif [ -n "$_hold" ]; then return
        else kill -KILL $T
        fi 2>/dev/null
    done
}
_full() {
    # Whether the limit on processes is nearly reached, or refused one since this was last asked.
    for f in /sys/fs/cgroup/pids /sys/fs/cgroup; do
        while read -r a b; do
            [ "$a" = max ] && [ "$b" -gt "$_refused" ] && _refused=$b && echo 1 && return
        done 2>/dev/null <$f/pids.events
        { read -r a <$f/pids.current && read -r b <$f/pids.max; } 2>/dev/null || continue
        case $b in max) ;; *) [ $((a * 10)) -lt $((b * 9)) ] || { echo 1; return; } ;; esac
    done
    echo 0
}
_most() {
    # How many processes are of the kernel session $1 or carry a cookie that begins with $2; 0 if
    # that is not the most of all.
    a=0 b=0
    for d in /proc/[0-9]*; do
        p=${d#/proc/}
        _stat "$p" || continue
        set -- "$1" "$2" $l
        case $3 in Z|X) continue ;; esac
        b=$((b + 1))
        if [ "$6" != "$1" ]; then
            _mark "$p" "$2"
            [ "$m" = mine ] || continue
        fi
        a=$((a + 1))
    done
    [ $((a * 2)) -gt $b ] || a=0
    echo $a
}
_ooms() {
    for f in /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control; do
        [ -r "$f" ] || continue
        while read -r a b; do [ "$a" = oom_kill ] && echo "$b" && return; done <"$f"
    done
    echo 0
}
_list() {
    for f in "$1"/* "$1"/.[!.]* "$1"/..?*; do
        if [ -d "$f" ]; then printf '%s/\0' "${f##*/}"
        elif [ -e "$f" ] || [ -L "$f" ]; then printf '%s\0' "${f##*/}"
        fi
    done
}
_kind() {
    if [ -d "$1" ]; then echo directory
    elif [ -f "$1" ]; then if [ -r "$1" ]; then echo file; else echo denied; fi
    elif [ -e "$1" ]; then echo other
    else echo missing
    fi
}
_read() {
    _kind "$1"
    [ -f "$1" ] && [ -r "$1" ] && head -c "$2" <"$1"
}
_info() {
    stat -L -c '%f %s %Y' -- "$1" 2>/dev/null && return
    [ -e "$1" ] || return
    ls -ldnL -- "$1"
}
_file() {
    # A device, pipe or socket would be replaced by a file, /dev/null also for everybody else.
    if [ -d "$1" ]; then echo 'Is a directory'
    elif [ -e "$1" ] && [ ! -f "$1" ]; then echo 'Is a device, pipe or socket, not a file'
    else return 0
    fi
    return 1
}
_put() {
    # Fill the file $1 from $2 (a printf %b form) through a temporary name with $3 in it; mode $4.
    t=$1
    if [ -L "$t" ]; then t=$(readlink -f "$t") || return; fi
    _file "$t" || return
    w=${t%/*}
    [ -d "${w:-/}" ] || mkdir -p -- "$w" || return
    n=$t.$3.tmp
    if { printf '' >"$n"; } 2>/dev/null; then
        if printf '%b' "$2" >"$n"; then _commit "$n" "$t" "$4"; else rm -f -- "$n"; return 1; fi
    elif [ -w "$t" ]; then printf '%b' "$2" >"$t" && { [ -z "$4" ] || chmod "$4" -- "$t"; }
    else printf '' >"$n"
    fi
}
_dress() {
    # Give the new file $1 the mode $3, or that of the file $2 which it replaces.
    if [ -n "$3" ]; then chmod "$3" -- "$1"
    elif [ -e "$2" ]; then
        # busybox knows no --reference.
        chmod --reference="$2" -- "$1" 2>/dev/null || chmod "$(stat -c %a -- "$2")" -- "$1"
    fi
}
_commit() {
    if _dress "$@" && mv -f -- "$1" "$2" 2>/dev/null; then return; fi
    # A file that is itself a mount point cannot be replaced, only filled.
    cat <"$1" >"$2"; r=$?
    rm -f -- "$1"
    return $r
}
"""
