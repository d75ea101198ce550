"""The filter program, executed by a small interpreter of classic BPF: what it answers for every call number."""

import struct

import pytest

from wargaming.sandbox import seccomp

ALLOW, KILL = 0x7FFF0000, 0x80000000


def verdict(program: bytes, arch: int, number: int, first_argument: int = 0) -> int:
    data = struct.pack("<IIQ6Q", number, arch, 0, first_argument, 0, 0, 0, 0, 0)
    steps = [struct.unpack("<HBBI", program[at : at + 8]) for at in range(0, len(program), 8)]
    accumulator, at = 0, 0
    while True:
        code, if_true, if_false, value = steps[at]
        at += 1
        if code == 0x20:
            accumulator = struct.unpack_from("<I", data, value)[0]
        elif code == 0x06:
            return value
        else:
            held = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[code]
            at += if_true if held else if_false


@pytest.mark.parametrize(("machine", "column"), [("x86_64", 0), ("aarch64", 1)])
@pytest.mark.parametrize("loopback", [False, True])
def test_exactly_the_listed_calls_are_denied(machine, column, loopback):
    program, arch = seccomp.program(machine, loopback=loopback), seccomp.AUDIT_ARCH[machine]
    denied = {number for number in range(600) if verdict(program, arch, number) != ALLOW}
    listed = {numbers[column] for numbers in seccomp.DENIED.values()} - {None}
    assert denied == listed | {seccomp.CLONE3[column]}


@pytest.mark.parametrize(("machine", "column"), [("x86_64", 0), ("aarch64", 1)])
def test_clone_is_allowed_for_threads_and_children_but_not_for_namespaces(machine, column):
    program, arch = seccomp.program(machine, loopback=True), seccomp.AUDIT_ARCH[machine]
    clone = seccomp.CLONE[column]
    assert verdict(program, arch, clone, 17) == ALLOW
    assert verdict(program, arch, clone, 0x003D0F00) == ALLOW  # what a thread is made with
    for bit in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert verdict(program, arch, clone, bit | 17) == 0x00050001


@pytest.mark.parametrize(("machine", "column"), [("x86_64", 0), ("aarch64", 1)])
def test_internet_sockets_need_loopback_and_kernel_sockets_are_never_had(machine, column):
    arch, socket = seccomp.AUDIT_ARCH[machine], seccomp.SOCKET[column]
    without, with_ = (seccomp.program(machine, loopback=loopback) for loopback in (False, True))
    for family in (2, 10):
        assert verdict(without, arch, socket, family) == 0x00050061
        assert verdict(with_, arch, socket, family) == ALLOW
    for family in (16, 17, 38, 40):
        assert verdict(with_, arch, socket, family) == 0x00050061
    assert verdict(without, arch, socket, 1) == ALLOW


def test_another_architecture_is_killed_and_the_x32_numbers_are_refused():
    program = seccomp.program("x86_64", loopback=False)
    assert verdict(program, 0x40000003, 1) == KILL
    assert verdict(program, seccomp.AUDIT_ARCH["x86_64"], 0x40000000 | 165) == 0x00050026
