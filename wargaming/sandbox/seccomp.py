"""The seccomp program of the sandbox, as bytes of classic BPF for ``bwrap --seccomp FD``.

A list of what is denied, not of what is allowed: interpreters and C extensions use most of the rest. Denied is what
reaches into the kernel's less trodden rooms (namespaces, mounts, tracing, keys, bpf, io_uring, modules, clocks). A
denied call answers EPERM; ``clone3`` answers ENOSYS, since its flags lie behind a pointer that BPF cannot read and
libc then falls back to ``clone``, whose flags can be checked. Layout: ``struct seccomp_data`` in <linux/seccomp.h>;
call numbers: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h of Linux.
"""

from __future__ import annotations

import errno
import struct
from typing import Final

# name: (x86_64, aarch64); None where the architecture has no such call.
DENIED: Final[dict[str, tuple[int | None, int | None]]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "vhangup": (153, 58),
}
CLONE: Final = (56, 220)
CLONE3: Final = (435, 435)
SOCKET: Final = (41, 198)
AUDIT_ARCH: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
X32_BIT: Final = 0x40000000

# CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET
NAMESPACE_FLAGS: Final = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
# AF_NETLINK, AF_PACKET, AF_ALG, AF_VSOCK: kernel surface no package needs; AF_INET and AF_INET6 fall with loopback.
ALWAYS_DENIED_FAMILIES: Final = (16, 17, 38, 40)
INTERNET_FAMILIES: Final = (2, 10)

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_NUMBER, _ARCH, _ARGUMENT_0 = 0, 4, 16


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)


def _deny(error: int) -> bytes:
    return _step(_RETURN, 0x00050000 | error)


def program(machine: str, *, loopback: bool) -> bytes:
    """The filter for ``machine`` (``platform.machine()``); without ``loopback`` internet sockets cannot be made.

    Raises ``KeyError`` for an architecture whose call numbers are not listed here.
    """
    column = 0 if machine == "x86_64" else 1
    steps = [
        _step(_LOAD, _ARCH),
        _step(_EQUAL, AUDIT_ARCH[machine], 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
    ]
    if machine == "x86_64":  # the x32 calls share the architecture word and would walk past every number below
        steps += [_step(_AT_LEAST, X32_BIT, 0, 1), _deny(errno.ENOSYS)]
    for numbers in DENIED.values():
        number = numbers[column]
        if number is not None:
            steps += [_step(_EQUAL, number, 0, 1), _deny(errno.EPERM)]
    steps += [_step(_EQUAL, CLONE3[column], 0, 1), _deny(errno.ENOSYS)]
    # clone: the flags are the first argument on both architectures; their low half holds every namespace bit.
    steps += [
        _step(_EQUAL, CLONE[column], 0, 3),
        _step(_LOAD, _ARGUMENT_0),
        _step(_ANY_BIT, NAMESPACE_FLAGS, 0, 5),
        _deny(errno.EPERM),
    ]
    families = ALWAYS_DENIED_FAMILIES if loopback else ALWAYS_DENIED_FAMILIES + INTERNET_FAMILIES
    # socket: jump to the allowing end unless it is this call; the load of the number still stands when clone was not
    # it.
    steps += [_step(_EQUAL, SOCKET[column], 0, 1 + 2 * len(families)), _step(_LOAD, _ARGUMENT_0)]
    for family in families:
        steps += [_step(_EQUAL, family, 0, 1), _deny(errno.EAFNOSUPPORT)]
    steps.append(_step(_RETURN, _ALLOW))
    # The clone check leaves the first argument in the accumulator: its way out is the allowing end, whatever its
    # length.
    where = len(steps) - 1
    clone_bits = steps.index(_step(_ANY_BIT, NAMESPACE_FLAGS, 0, 5))
    steps[clone_bits] = _step(_ANY_BIT, NAMESPACE_FLAGS, 0, where - clone_bits - 1)
    return b"".join(steps)
