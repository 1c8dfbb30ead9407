"""No attack gets out of an isolated child: other processes, floods, and the kernel's back doors."""

import platform
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.base.attacked import CANARY
from tests.base.conftest import Server

STRICT: dict[str, Any] = {}
MIB = 1024**2
ON_X86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="another processor")

# Processes


@pytest.mark.parametrize("attack", ["fork", "start_program"])
def test_no_other_process_can_be_started(server: Server, attack: str) -> None:
    assert server.attack(attack)["got"] == 0
    assert server.attack(attack, isolation=STRICT)["outcome"] == "EPERM"


def test_no_other_program_can_take_its_place(server: Server) -> None:
    assert server.attack("execute", isolation=STRICT)["outcome"] == "EPERM"
    # The control is gone for good: another program gives no answer.
    assert "exited with code 0" in server.attack("execute")["message"]


def test_no_daemon_is_left_behind(server: Server) -> None:
    path = server.folder / "left"

    assert server.attack("leave_daemon", path, isolation=STRICT)["outcome"] == "EPERM"
    assert server.attack("leave_daemon", path)["outcome"] == "through"
    for _ in range(6_000):
        if path.exists():
            break
        time.sleep(0.02)
    assert path.exists()


@pytest.mark.parametrize("attack", ["send_signal", "send_signal_by_descriptor"])
def test_no_signal_reaches_another_process(server: Server, attack: str) -> None:
    isolated = server.attack(attack, server.pid, isolation=STRICT)

    assert (isolated["outcome"], isolated["signals"]) == ("EPERM", 0)
    control = server.attack(attack, server.pid)
    assert (control["outcome"], control["signals"]) == ("through", 1)


def test_no_signal_is_sent_in_the_child_s_name(server: Server) -> None:
    assert server.attack("own_by_signal", server.pid)["outcome"] == "through"
    assert server.attack("own_by_signal", server.pid, isolation=STRICT)["outcome"] == "EPERM"


def test_signals_to_itself_work(server: Server) -> None:
    assert server.attack("own_process", int(signal.SIGUSR2), isolation=STRICT)["got"] is True


def test_no_other_process_can_be_looked_into(server: Server) -> None:
    for attack, *args in (("trace", server.pid), ("read_memory", server.pid, server.address)):
        assert server.attack(attack, *args, isolation=STRICT)["outcome"] == "EPERM"

    if server.uid == 0:  # elsewhere Yama may keep a child from its parent
        got = server.attack("read_memory", server.pid, server.address)["got"]
        assert got == CANARY.decode()


def test_no_limit_can_be_changed(server: Server) -> None:
    assert server.attack("set_limit")["outcome"] == "through"
    assert server.attack("set_limit", isolation=STRICT)["outcome"] == "EPERM"
    assert server.attack("limit_other", server.pid, isolation=STRICT)["outcome"] == "EPERM"


def test_it_is_nobody_and_stays_so(server: Server) -> None:
    standing = server.attack("standing", isolation=STRICT)["got"]

    assert 0 not in standing["users"]
    assert standing["capabilities"] is True  # none of them
    assert standing["core"] == [0, 0]
    assert server.attack("become_root", isolation=STRICT)["outcome"] == "EPERM"
    if server.uid == 0:
        assert server.attack("become_root")["outcome"] == "through"
        again = server.attack("standing", isolation=STRICT)["got"]
        assert again["users"] != standing["users"]  # nor the same as another child


# Floods


def test_a_flood_of_processes_never_starts(server: Server) -> None:
    assert server.attack("start_processes", 20)["got"] == 20
    assert server.attack("start_processes", 20, isolation=STRICT)["outcome"] == "EPERM"


def test_a_flood_of_threads_ends_at_its_limit(server: Server) -> None:
    limits = {"threads": 40}

    assert server.attack("start_threads", 200, limits=limits)["got"] == 200
    started = server.attack("start_threads", 200, isolation=STRICT, limits=limits)["got"]
    assert started < 40
    assert server.attack("start_threads", 20, isolation=STRICT, limits=limits)["got"] == 20


@pytest.mark.parametrize("attack", ["fill_memory", "fill_memory_by_mapping"])
def test_a_flood_of_memory_ends_at_its_limit(server: Server, attack: str) -> None:
    limits = {"memory_bytes": 512 * MIB}

    answer = server.attack(attack, 1024 * MIB, isolation=STRICT, limits=limits)

    assert answer["outcome"] in {"LimitExceeded", "ENOMEM"}
    assert server.attack(attack, 1024 * MIB)["outcome"] == "through"


def test_a_flood_of_output_goes_nowhere(server: Server) -> None:
    before = server.log.stat().st_size

    assert server.attack("print_much", 64 * MIB, isolation=STRICT)["got"] == 64 * MIB
    assert server.log.stat().st_size == before


def test_an_endless_loop_that_resists_ends_at_the_limit_of_time(server: Server) -> None:
    limits = {"wall_seconds": 1}

    answer = server.attack("never_end", isolation=STRICT, limits=limits)

    assert answer["outcome"] == "TookTooLong"


def test_an_endless_loop_that_resists_ends_at_the_limit_of_processor_time(server: Server) -> None:
    answer = server.attack("never_end", isolation=STRICT, limits={"cpu_seconds": 1})

    assert answer["outcome"] in {"ChildDied", "LimitExceeded"}


# The kernel's back doors: the numbers on x86-64 and on ARM, with arguments that do nothing where they get through.
NONE = 10_000
CALLS: dict[str, tuple[int, int, tuple[Any, ...]]] = {
    "memfd_create": (319, 279, ("x", 0)),
    "memfd_secret": (447, 447, (0,)),
    "io_uring_setup": (425, 425, (1, 0)),
    "userfaultfd": (323, 282, (1,)),
    "bpf": (321, 280, (-1, 0, 0)),
    "perf_event_open": (298, 241, (0, 0, -1, -1, 0)),
    "unshare users": (272, 97, (0x10000000,)),
    "setns": (308, 268, (-1, 0)),
    "clone users": (56, 220, (0x10000000 | 17, 0, 0, 0, 0)),
    "fork": (57, NONE, ()),
    "mount": (165, 40, ("none", "/nonexistent", "tmpfs", 0, 0)),
    "umount2": (166, 39, ("/nonexistent", 0)),
    "pivot_root": (155, 41, ("/nonexistent", "/nonexistent")),
    "chroot": (161, 51, ("/nonexistent",)),
    "fsopen": (430, 430, ("tmpfs", 0)),
    "open_tree": (428, 428, (-1, "/", 0)),
    "move_mount": (429, 429, (-1, "/nonexistent", -1, "/nonexistent", 0)),
    "keyctl": (250, 219, (0, -2, 0)),
    "add_key": (248, 217, (0, 0, 0, 0, 0)),
    "ptrace": (101, 117, (-1, 0, 0, 0)),
    "process_vm_writev": (311, 271, (0, 0, 0, 0, 0, 0)),
    "pidfd_open": (434, 434, (1, 0)),
    "pidfd_getfd": (438, 438, (-1, 0, 0)),
    "open_by_handle_at": (304, 265, (-1, 0, 0)),
    "name_to_handle_at": (303, 264, (-1, "/", 0, 0, 0)),
    "execve": (59, 221, ("/nonexistent", 0, 0)),
    "execveat": (322, 281, (-1, "/nonexistent", 0, 0, 0)),
    "socket": (41, 198, (16, 3, 0)),
    "bind": (49, 200, (-1, 0, 0)),
    "listen": (50, 201, (-1, 0)),
    "connect": (42, 203, (-1, 0, 0)),
    "sendmsg": (46, 211, (-1, 0, 0)),
    "link": (86, NONE, ("/nonexistent", "/nonexistent")),
    "linkat": (265, 37, (-100, "/nonexistent", -100, "/nonexistent", 0)),
    "symlinkat": (266, 36, ("/nonexistent", -100, "/nonexistent/x")),
    "mknodat": (259, 33, (-100, "/nonexistent/x", 0, 0)),
    "fchmodat2": (452, 452, (-100, "/nonexistent", 0, 0)),
    "fchmodat": (268, 53, (-100, "/nonexistent", 0)),
    "fchown": (93, 55, (-1, -1, -1)),
    "fchownat": (260, 54, (-100, "/nonexistent", -1, -1, 0)),
    "setxattr": (188, 5, ("/nonexistent", "user.x", 0, 0, 0)),
    "inotify_init1": (294, 26, (0,)),
    "fanotify_init": (300, 262, (-1, 0)),
    "setuid": (105, 146, (0,)),
    "setresgid": (119, 149, (0, 0, 0)),
    "setgroups": (116, 159, (0, 0)),
    "setfsuid": (122, 151, (0,)),
    "capset": (126, 91, (0, 0)),
    "setrlimit": (160, 164, (4, 0)),
    "prctl": (157, 167, (4, 1, 0, 0, 0)),
    "seccomp": (317, 277, (0, 0, 0)),
    "setpriority": (141, 140, (0, 0, 0)),
    "sched_setaffinity": (203, 122, (0, 0, 0)),
    "sched_setscheduler": (144, 119, (0, 0, 0)),
    "personality": (135, 92, (0xFFFFFFFF,)),
    "shmget": (29, 194, (0, 4096, 0o1600)),
    "mq_open": (240, 180, ("x", 0, 0, 0)),
    "msgget": (68, 186, (0, 0o1600)),
    "init_module": (175, 105, (0, 0, 0)),
    "swapon": (167, 224, ("/nonexistent", 0)),
    "acct": (163, 89, ("/nonexistent",)),
    "syslog": (103, 116, (10, 0, 0)),
    "sethostname": (170, 161, (0, -1)),
    "clock_settime": (227, 112, (-1, 0)),
    "quotactl": (179, 60, (-1, 0, 0, 0)),
    "splice": (275, 76, (-1, 0, -1, 0, 0, 0)),
    "vmsplice": (278, 75, (-1, 0, 0, 0)),
    "modify_ldt": (154, NONE, (0, 0, 0)),
    "a call of tomorrow": (999, 999, ()),
}
# Those that the same child without isolation is not refused, whoever it is: most fail of their arguments.
OPEN_TO_ALL = {
    *("memfd_create", "setns", "pidfd_getfd", "execve", "bind", "listen", "connect", "sendmsg"),
    *("linkat", "symlinkat", "mknodat", "fchmodat", "fchown", "inotify_init1", "prctl", "personality"),
    *("sched_setaffinity", "mq_open", "splice", "a call of tomorrow"),
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_no_other_system_call_is_answered(server: Server, call: str) -> None:
    x86, arm, args = CALLS[call]

    assert server.attack("system_call", x86, arm, *args, isolation=STRICT)["outcome"] == "EPERM"
    if call in OPEN_TO_ALL:
        assert server.attack("system_call", x86, arm, *args)["outcome"] != "EPERM"


def test_a_new_way_to_start_threads_looks_as_if_it_were_unknown(server: Server) -> None:
    answer = server.attack("system_call", 435, 435, 0, 0, isolation=STRICT)

    assert answer["outcome"] == "ENOSYS"


@ON_X86
@pytest.mark.parametrize("attack", ["call_as_32_bit", "call_as_x32"])
def test_a_call_by_another_door_ends_the_process(server: Server, attack: str) -> None:
    assert "SIGSYS" in server.attack(attack, isolation=STRICT)["message"]
    assert server.attack(attack)["outcome"] in {"through", "ENOSYS"}


def test_the_server_outlives_all_of_it(server: Server) -> None:
    server.attack("never_end", isolation=STRICT, limits={"wall_seconds": 1})

    assert server.attack("read", server.file("secret"))["got"] == "precious"
    assert Path(f"/proc/{server.pid}").exists()
