"""What a hostile process tries, one line each: `<attack>: <what came of it>`. Used while building and while running."""

import ctypes
import errno
import os
import resource
import socket

TARGETS = {
    "metadata address": ("169.254.169.254", 80),
    "host's router": ("{gateway}", int(os.environ.get("HOST_PORT", "0"))),
    "private network": ("10.0.0.1", 80),
    "another platform's tools": ("10.128.0.2", 8000),
    "mail of strangers": ("192.0.2.1", 25),
}


# Numbers of x86-64. Each is refused before its arguments are looked at, or does not exist.
CALLS = {
    "ptrace": 101,
    "chroot": 161,
    "pivot_root": 155,
    "mount": 165,
    "umount2": 166,
    "swapon": 167,
    "reboot": 169,
    "iopl": 172,
    "init_module": 175,
    "clock_settime": 227,
    "kexec_load": 246,
    "add_key": 248,
    "keyctl": 250,
    "unshare": 272,
    "perf_event_open": 298,
    "fanotify_init": 300,
    "open_by_handle_at": 304,
    "setns": 308,
    "process_vm_readv": 310,
    "bpf": 321,
    "userfaultfd": 323,
    "io_uring_setup": 425,
    "fsopen": 430,
    "clone3": 435,
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
    return write_text(path, "x")


def write_text(path, text):
    try:
        with open(path, "w") as file:
            file.write(text)
        return "WRITTEN"
    except OSError as error:
        return f"refused ({type(error).__name__})"


def call(action):
    try:
        action()
        return "DONE"
    except (OSError, ValueError) as error:
        return f"refused ({type(error).__name__})"


def system_call(number):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, 0, 0, 0, 0, 0, 0) >= 0:
        return "DONE"
    code = ctypes.get_errno()
    kept_out = code in (errno.EPERM, errno.ENOSYS)
    return f"refused ({errno.errorcode[code]})" if kept_out else f"{errno.errorcode[code]}: NOT CONTAINED"


def abstract_socket(name):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(b"\0" + name)


def all_attacks():
    yield f"privileges: {privileges()}"
    for name, (address, port) in TARGETS.items():
        yield f"{name}: {connect(address, port)}"
    for path in ["/etc/shadow", "/proc/kcore", "/proc/sysrq-trigger", "/dev/mem", "/run/windlass/helper.sock"]:
        yield f"read {path}: {read(path)}"
    # Badness below zero is for the machine's own; the raising of it is everybody's.
    yield f"spare me when memory runs out: {write_text('/proc/self/oom_score_adj', '-1000')}"
    for path in ["/usr/bin/python3", "/proc/sys/kernel/core_pattern", "/sys/fs/cgroup/x", "/cnb/x", "/cnb/order.toml", "/cnb/lifecycle/launcher", "/etc/resolv.conf"]:
        yield f"write {path}: {write(path)}"
    yield f"become root: {call(lambda: os.setuid(0))}"
    yield f"unshare: {call(lambda: os.unshare(os.CLONE_NEWUSER)) if hasattr(os, 'unshare') else 'refused (absent)'}"
    yield f"raw socket: {call(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close())}"
    yield f"abstract socket of the host: {call(lambda: abstract_socket(b'HOST_SOCKET'))}"
    yield f"core dumps: {call(lambda: resource.setrlimit(resource.RLIMIT_CORE, (-1, -1)))}"
    yield f"device: {call(lambda: os.mknod('/tmp/disk', 0o60666, os.makedev(7, 0)))}"
    yield f"trusted attribute: {call(lambda: os.setxattr('/tmp', 'trusted.overlay.opaque', b'y'))}"
    yield f"priority: {call(lambda: os.setpriority(os.PRIO_PROCESS, 0, -20))}"
    for name, number in CALLS.items():
        yield f"{name}: {system_call(number)}"
    for family, name in [(40, "AF_VSOCK"), (17, "AF_PACKET"), (38, "AF_ALG")]:
        yield f"{name}: {call(lambda family=family: socket.socket(family, socket.SOCK_STREAM if family != 38 else 5).close())}"
