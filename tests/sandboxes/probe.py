# ruff: noqa: SIM115 - what is opened here should not open
"""Runs inside a sandbox: tries what must not work, and prints what became of it as JSON."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import socket
import subprocess
from collections.abc import Callable
from typing import Any

libc = ctypes.CDLL(None, use_errno=True)


def call(function: Callable[..., int], *arguments: Any) -> None:
    if function(*arguments) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def syscall(number: int, *arguments: int) -> None:
    call(libc.syscall, ctypes.c_long(number), *(ctypes.c_long(each) for each in arguments))


def mknod() -> None:
    os.mknod("/tmp/disk", 0o600 | 0o060000, os.makedev(7, 0))


def chroot() -> None:
    os.chroot("/tmp")


def raw_socket() -> None:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)


def packet_socket() -> None:
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW)


def vsock() -> None:
    socket.socket(40, socket.SOCK_STREAM)


def cipher_socket() -> None:
    socket.socket(38, socket.SOCK_SEQPACKET)


def mount() -> None:
    call(libc.mount, b"none", b"/mnt", b"tmpfs", 0, None)


def user_namespace() -> None:
    call(libc.unshare, 0x10000000)


def clone_namespace() -> None:
    syscall(56, 0x10000000 | 17, 0, 0, 0, 0)


def io_uring() -> None:
    syscall(425, 1, ctypes.addressof(ctypes.create_string_buffer(256)))


def bpf() -> None:
    syscall(321, 0, 0, 0)


def keyctl() -> None:
    syscall(250, 0, -3, 0)


def userfaultfd() -> None:
    syscall(323, 1)


def perf() -> None:
    syscall(298, 0, 0, -1, -1, 0)


def no_randomization() -> None:
    call(libc.personality, 0x0040000)


def write_sysctl() -> None:
    open("/proc/sys/kernel/hostname", "w").write("x")


def read_kcore() -> None:
    open("/proc/kcore", "rb").read(1)


def kernel_log() -> None:
    call(libc.klogctl, 3, ctypes.create_string_buffer(100), 100)


def set_clock() -> None:
    import time

    time.clock_settime(time.CLOCK_REALTIME, 0)


def chown_to_other() -> None:
    open("/tmp/own", "w").close()
    os.chown("/tmp/own", 12345, 12345)


def become_other() -> None:
    os.setuid(12345)


def kill_first() -> None:
    os.kill(1, 9)
    os.kill(1, 0)


def cgroup_write() -> None:
    for folder, _, files in os.walk("/sys/fs/cgroup"):
        for name in files:
            if name.endswith(".max") or "limit_in_bytes" in name:
                open(os.path.join(folder, name), "w").write("max")
                return


def docker_socket() -> None:
    s = socket.socket(socket.AF_UNIX)
    s.connect("/var/run/docker.sock")


def ptrace_own_child() -> None:
    child = os.fork()
    if child == 0:
        libc.ptrace(0, 0, 0, 0)
        os._exit(0)
    os.waitpid(child, 0)


def ptrace_first() -> None:
    call(libc.ptrace, 16, 1, 0, 0)


def thread_and_process() -> None:
    import threading

    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    subprocess.run(["true"], check=True)


def plain_socket() -> None:
    socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()
    socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).close()


def attempt(probe: Callable[[], None]) -> str:
    """In a process of its own, as some change it for good."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        try:
            probe()
            told = "allowed"
        except OSError as error:
            told = errno.errorcode.get(error.errno or 0, str(error))
        os.write(writer, told.encode())
        os._exit(0)
    os.close(writer)
    told = os.read(reader, 100).decode()
    os.close(reader)
    os.wait()
    return told


HELPERS = {"attempt", "call", "syscall"}
found = {
    name: attempt(each)
    for name, each in sorted(globals().items())
    if getattr(each, "__module__", "") == "__main__" and name not in HELPERS
}
with open("/proc/self/status") as status:
    facts = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
found["no_new_privs"] = facts["NoNewPrivs"]
found["seccomp"] = facts["Seccomp"]
found["caps"] = facts["CapEff"]
print(json.dumps(found))
