"""What a hostile process tries, one line each: `<attack>: <what came of it>`. Used while building and while running."""

import os
import socket

TARGETS = {
    "metadata address": ("169.254.169.254", 80),
    "host's router": ("{gateway}", int(os.environ.get("HOST_PORT", "0"))),
    "private network": ("10.0.0.1", 80),
    "another platform's tools": ("10.128.0.2", 8000),
    "mail of strangers": ("192.0.2.1", 25),
}


def gateway():
    try:
        with open("/proc/net/route") as routes:
            for line in routes:
                fields = line.split()
                if fields[1] == "00000000":
                    return socket.inet_ntoa(bytes.fromhex(fields[2])[::-1])
    except OSError:
        pass
    return "192.0.2.1"


def connect(address, port):
    try:
        socket.create_connection((address.format(gateway=gateway()), port), timeout=2).close()
        return "REACHED"
    except OSError as error:
        return f"refused ({type(error).__name__})"


def read(path):
    try:
        with open(path, "rb") as file:
            file.read(1)
        return "READ"
    except OSError as error:
        return f"refused ({type(error).__name__})"


def privileges():
    with open("/proc/self/status") as status:
        fields = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
    return f"capabilities {fields['CapEff'].strip()} bounding {fields['CapBnd'].strip()} no_new_privs {fields['NoNewPrivs']}"


def write(path):
    try:
        with open(path, "w") as file:
            file.write("x")
        return "WRITTEN"
    except OSError as error:
        return f"refused ({type(error).__name__})"


def call(action):
    try:
        action()
        return "DONE"
    except OSError as error:
        return f"refused ({type(error).__name__})"


def all_attacks():
    yield f"privileges: {privileges()}"
    for name, (address, port) in TARGETS.items():
        yield f"{name}: {connect(address, port)}"
    for path in ["/etc/shadow", "/proc/kcore", "/proc/sysrq-trigger", "/dev/mem", "/run/windlass/helper.sock"]:
        yield f"read {path}: {read(path)}"
    for path in ["/usr/bin/python3", "/proc/sys/kernel/core_pattern", "/sys/fs/cgroup/x", "/cnb/x"]:
        yield f"write {path}: {write(path)}"
    yield f"become root: {call(lambda: os.setuid(0))}"
    yield f"unshare: {call(lambda: os.unshare(os.CLONE_NEWUSER)) if hasattr(os, 'unshare') else 'refused (absent)'}"
    for family, name in [(40, "AF_VSOCK"), (17, "AF_PACKET"), (38, "AF_ALG")]:
        yield f"{name}: {call(lambda family=family: socket.socket(family, socket.SOCK_STREAM if family != 38 else 5).close())}"
