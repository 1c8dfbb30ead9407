"""The filter of system calls: each machine's program, run step by step as the kernel runs it."""

import struct

import pytest

from base import seccomp
from base.seccomp import MACHINES, Check

PID = 4242
KILL, ALLOW, REFUSE, UNKNOWN = 0x80000000, 0x7FFF0000, 0x00050001, 0x00050026
LOAD, AND, EQUAL, AT_LEAST, RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
OTHER_MACHINES = (0x40000003, 0x40000028, 0xC00000F3, 0)  # 32-bit x86, 32-bit ARM, RISC-V, none


def decide(program: bytes, number: int, machine: int, *args: int) -> int:
    """What the kernel would do with a call."""
    padded = [*args, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("<IIQ6Q", number, machine, 0, *padded)
    steps = list(struct.iter_unpack("@HBBI", program))
    at = held = 0
    while True:
        code, yes, no, operand = steps[at]
        at += 1
        if code == RETURN:
            return int(operand)
        if code == LOAD:
            held = struct.unpack_from("<I", data, operand)[0]
        elif code == AND:
            held &= operand
        else:
            assert code in {EQUAL, AT_LEAST}
            at += yes if (held == operand if code == EQUAL else held >= operand) else no


def script(name: str) -> tuple[bytes, int]:
    machine = MACHINES[name]
    allowed = seccomp.rules(PID, creates=False, dials=False)
    return seccomp.compile_filter(machine, allowed), machine.audit


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("creates", [False, True])
@pytest.mark.parametrize("dials", [False, True])
def test_every_number_that_is_not_on_the_list_is_refused(
    name: str, *, creates: bool, dials: bool
) -> None:
    machine = MACHINES[name]
    allowed = seccomp.rules(PID, creates=creates, dials=dials)
    program = seccomp.compile_filter(machine, allowed)
    on_list = {machine.calls[each] for each in allowed if each in machine.calls}
    unknown = {machine.calls["clone3"], machine.calls["openat2"]}

    for number in range(1200):
        done = decide(program, number, machine.audit)
        if number in unknown:
            assert done == UNKNOWN
        elif number in on_list:
            assert done in {ALLOW, REFUSE}  # by their arguments
        else:
            assert done == REFUSE
    for plain in ("read", "mmap", "futex", "exit_group"):
        assert decide(program, machine.calls[plain], machine.audit) == ALLOW


@pytest.mark.parametrize("name", MACHINES)
def test_setting_a_mode_is_pretended_where_files_can_be_made(name: str) -> None:
    machine = MACHINES[name]
    number = machine.calls["fchmodat"]
    for creates, expected in ((True, 0x00050000), (False, REFUSE)):
        allowed = seccomp.rules(PID, creates=creates, dials=False)
        pretended = seccomp.pretended(creates=creates)
        program = seccomp.compile_filter(machine, allowed, pretended)

        assert decide(program, number, machine.audit) == expected


@pytest.mark.parametrize("name", MACHINES)
def test_another_machine_s_calls_end_the_process(name: str) -> None:
    program, audit = script(name)
    others = [*OTHER_MACHINES, *(each.audit for each in MACHINES.values() if each.audit != audit)]

    for other in others:
        assert decide(program, 0, other) == KILL
    if MACHINES[name].has_x32:
        assert decide(program, 0x40000000, audit) == KILL
        assert decide(program, 0xFFFFFFFF, audit) == KILL


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize(
    ("call", "args", "is_allowed"),
    [
        ("clone", (0x3D0F00,), True),  # a thread of glibc
        ("clone", (0x7D0F00,), True),  # and of musl
        ("clone", (17,), False),  # a process
        ("clone", (0x3D0F00 | 0x10000000,), False),  # with users of its own
        ("clone", (0x4111,), False),  # vfork
        ("kill", (PID,), True),
        ("kill", (0,), False),
        ("kill", (-1 & 0xFFFFFFFF,), False),
        ("kill", (1,), False),
        ("tgkill", (PID, PID), True),
        ("tgkill", (1, 1), False),
        ("openat", (0, 0, 0o2000000), True),  # O_CLOEXEC
        ("openat", (0, 0, 0o100), False),  # O_CREAT
        ("openat", (0, 0, 0o1000), False),  # O_TRUNC
        ("openat", (0, 0, 0o20200002), False),  # O_TMPFILE
        ("prctl", (15,), True),
        ("prctl", (1,), False),  # to outlive its parent
        ("prctl", (22,), False),
        ("prlimit64", (0, 7, 0), True),
        ("prlimit64", (PID, 7, 0), True),
        ("prlimit64", (1, 7, 0), False),
        ("prlimit64", (0, 7, 1), False),
        ("prlimit64", (0, 7, 1 << 32), False),  # a pointer has two words
        ("fcntl", (3, 4), True),
        ("fcntl", (3, 1030), True),
        ("fcntl", (3, 8), False),  # F_SETOWN
        ("fcntl", (3, 1024), False),  # F_SETLEASE
        ("ioctl", (0, 0x5401), True),
        ("ioctl", (0, 0x5412), False),  # TIOCSTI
        ("socketpair", (1, 1), True),
        ("socketpair", (1, 0o2000001), True),  # SOCK_CLOEXEC
        ("socketpair", (1, 2), False),
        ("socketpair", (2, 1), False),
        ("sendto", (3, 1, 1, 0, 0, 0), True),
        ("sendto", (3, 1, 1, 0, 1, 16), False),
        ("sendto", (3, 1, 1, 0, 1 << 32, 16), False),
    ],
)
def test_arguments_decide(name: str, call: str, args: tuple[int, ...], *, is_allowed: bool) -> None:
    program, audit = script(name)

    done = decide(program, MACHINES[name].calls[call], audit, *args)

    assert done == (ALLOW if is_allowed else REFUSE)


def test_a_child_that_dials_has_sockets_of_the_internet_only() -> None:
    machine = MACHINES["x86_64"]
    allowed = seccomp.rules(PID, creates=False, dials=True)
    program = seccomp.compile_filter(machine, allowed)
    wanted = {(2, 1), (2, 2), (10, 1), (10, 2), (2, 0o2004001)}

    for family in range(48):
        for kind in (1, 2, 3, 5, 0o2004001):
            done = decide(program, machine.calls["socket"], machine.audit, family, kind)
            assert done == (
                ALLOW if (family, kind) in wanted or (family, kind) == (10, 0o2004001) else REFUSE
            )


def test_a_test_compares_what_its_mask_leaves() -> None:
    machine = MACHINES["aarch64"]
    program = seccomp.compile_filter(machine, {"read": (Check(1, (4, 6), 0xE), Check(0, (0,)))})

    outcomes = [decide(program, machine.calls["read"], machine.audit, 0, each) for each in range(8)]

    assert [each == ALLOW for each in outcomes] == [False] * 4 + [True] * 4
    assert decide(program, machine.calls["read"], machine.audit, 1, 4) == REFUSE
