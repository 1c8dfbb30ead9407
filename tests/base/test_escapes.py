"""No attack gets out of an isolated child: files, network, and what a child was given.

Each is made twice where it does no harm: by a child that is only limited, which shows that the attack works, and by an
isolated one, which it must not help. What counts is what is left on the host.
"""

import contextlib
import os
import select
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.base.conftest import Server

STRICT: dict[str, Any] = {}
REFUSED = {"EPERM", "EACCES"}


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Everything below a folder: modes and contents."""
    found = {}
    for path in sorted(folder.rglob("*")):
        about = path.lstat()
        is_file = stat.S_ISREG(about.st_mode)
        found[str(path.relative_to(folder))] = (
            about.st_mode,
            path.read_bytes() if is_file else b"",
        )
    return found


# Reading


def test_files_of_the_server_cannot_be_read(server: Server) -> None:
    secret = server.file("secret")

    assert server.attack("read", secret)["got"] == "precious"
    assert server.attack("read", secret, isolation=STRICT) == {"outcome": "EACCES", "signals": 0}


def test_files_of_another_tenant_cannot_be_read_beside_one_s_own(server: Server) -> None:
    mine, theirs = server.new_folder("mine"), server.new_folder("theirs")
    for folder in (mine, theirs):
        server.own(folder).joinpath("data").write_text("rows")
        server.own(folder / "data")
    isolation = {"reads": [str(mine)]}

    assert server.attack("read", mine / "data", isolation=isolation)["got"] == "rows"
    assert server.attack("read", theirs / "data")["got"] == "rows"
    assert server.attack("read", theirs / "data", isolation=isolation)["outcome"] == "EACCES"
    assert (
        server.attack("read", mine / "../theirs/data", isolation=isolation)["outcome"] == "EACCES"
    )
    assert server.attack("list_folder", theirs, isolation=isolation)["outcome"] == "EACCES"


@pytest.mark.parametrize("path", ["/etc/passwd", "/proc/meminfo", "/proc/self/environ"])
def test_files_that_anybody_may_read_cannot_be_read(server: Server, path: str) -> None:
    assert server.attack("read", path)["outcome"] == "through"
    assert server.attack("read", path, isolation=STRICT)["outcome"] == "EACCES"


@pytest.mark.parametrize("path", ["/etc/shadow", "/proc/1/environ", "/proc/1/mem", "/dev/kmsg"])
def test_files_of_the_system_cannot_be_read(server: Server, path: str) -> None:
    assert server.attack("read", path, isolation=STRICT)["outcome"] in {*REFUSED, "ENOENT"}


def test_root_s_files_could_be_read_by_a_child_that_is_only_limited(server: Server) -> None:
    if server.uid != 0:
        pytest.skip("only root's server could")

    assert "root" in server.attack("read", "/etc/shadow")["got"]


def test_the_server_s_environment_cannot_be_read(server: Server) -> None:
    path = f"/proc/{server.pid}/environ"
    inside = server.attack("standing", isolation=STRICT)["got"]["environment"]

    assert "got" in server.attack("read", path)
    assert server.attack("read", path, isolation=STRICT)["outcome"] == "EACCES"
    assert [name for name in inside if name.startswith(("HEADWATER", "PG", "AWS"))] == []


@pytest.mark.parametrize("folder", ["/", "/proc", "/etc", "/dev", "/tmp", "/var/tmp"])
def test_folders_cannot_be_listed(server: Server, folder: str) -> None:
    assert server.attack("list_folder", folder)["outcome"] == "through"
    assert server.attack("list_folder", folder, isolation=STRICT)["outcome"] == "EACCES"


# Writing

Change = Callable[[Server], tuple[str, list[Path]]]
CHANGES: dict[str, Change] = {
    "create": lambda server: ("create", [server.folder / "new"]),
    "append": lambda server: ("append", [server.folder / "victim"]),
    "overwrite": lambda server: ("overwrite", [server.folder / "victim"]),
    "truncate": lambda server: ("truncate", [server.folder / "victim"]),
    "truncate by reading": lambda server: (
        "truncate_while_opened_to_read",
        [server.folder / "victim"],
    ),
    "remove": lambda server: ("remove", [server.folder / "victim"]),
    "move": lambda server: ("move", [server.folder / "victim", server.folder / "moved"]),
    "folder": lambda server: ("make_folder", [server.folder / "new"]),
    "symlink": lambda server: ("make_symlink", [server.folder / "new", Path("/etc/shadow")]),
    "hard link": lambda server: (
        "make_hard_link",
        [server.folder / "new", server.folder / "victim"],
    ),
    "fifo": lambda server: ("make_fifo", [server.folder / "new"]),
    "socket": lambda server: ("make_socket_file", [server.folder / "new"]),
    "mode": lambda server: ("change_mode", [server.folder / "victim"]),
    "flood of files": lambda server: ("create_many", [server.folder]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_can_be_changed_outside(server: Server, change: str) -> None:
    server.file("victim")
    attack, args = CHANGES[change](server)
    before = tree(server.folder)
    isolated = server.attack(attack, *args, isolation=STRICT)
    after = tree(server.folder)

    control = server.attack(attack, *args)

    assert (isolated["outcome"] in REFUSED, after) == (True, before)
    assert control["outcome"] == "through"
    assert tree(server.folder) != before


@pytest.mark.parametrize("change", [*CHANGES, "device"])
def test_a_folder_to_work_in_opens_no_other_and_holds_files_only(
    server: Server, change: str
) -> None:
    server.file("victim")
    work = server.new_folder("work")
    attack, args = (
        CHANGES[change](server) if change != "device" else ("make_device", [server.folder / "new"])
    )
    before = tree(server.folder)
    isolation = {"folder": str(work)}
    special = {"make_symlink", "make_hard_link", "make_fifo", "make_socket_file", "make_device"}

    outside = server.attack(attack, *args, isolation=isolation)

    assert outside["outcome"] in REFUSED or attack == "change_mode"
    assert tree(server.folder) == before
    assert server.attack("create", work / "file", isolation=isolation)["outcome"] == "through"
    if attack in special:
        inside = server.attack(attack, work / "new", *args[1:], isolation=isolation)
        assert inside["outcome"] in REFUSED
    # It is told that the mode was set.
    server.attack("change_mode", work / "file", isolation=isolation)
    assert sorted(path.name for path in work.iterdir()) == ["file"]
    assert stat.S_IMODE((work / "file").stat().st_mode) & 0o7111 == 0


def test_a_folder_to_work_in_lets_files_come_and_go(server: Server) -> None:
    work = server.new_folder("work")
    isolation = {"folder": str(work)}
    for attack, *names in (
        ("make_folder", "below"),
        ("create", "below/file"),
        ("append", "below/file"),
        ("move", "below/file", "file"),
        ("truncate", "file"),
        ("create", "other"),
        ("remove", "other"),
    ):
        paths = [work / name for name in names]
        assert server.attack(attack, *paths, isolation=isolation)["outcome"] == "through"

    assert sorted(path.name for path in work.rglob("*")) == ["below", "file"]


@pytest.mark.parametrize("folder", ["/dev/shm", "/tmp", "/var/tmp", "/run/lock"])
def test_memory_and_temporary_folders_take_no_file(server: Server, folder: str) -> None:
    path = Path(folder, f"headwater-escape-{os.getpid()}")

    made = server.attack("create", path, isolation=STRICT)["outcome"]
    nameless = server.attack("open_nameless", folder, isolation=STRICT)["outcome"]

    assert made in {*REFUSED, "ENOENT"}
    assert nameless in {*REFUSED, "ENOENT"}
    assert not path.exists()


def test_times_and_attributes_of_files_cannot_be_changed(server: Server) -> None:
    victim = server.file("victim")
    before = victim.stat().st_mtime_ns

    for attack in ("change_times", "set_attribute"):
        assert server.attack(attack, victim, isolation=STRICT)["outcome"] in REFUSED
    assert victim.stat().st_mtime_ns == before
    assert server.attack("change_times", victim)["outcome"] == "through"
    assert victim.stat().st_mtime_ns == 0


# What it was given


def test_input_can_be_read_and_not_changed(server: Server) -> None:
    given = server.file("input")
    isolation = {"opens": [[str(given), False]]}
    for attack in ("write_to_opened", "reopen_for_writing", "change_mode_of_opened"):
        assert server.attack(attack, isolation=isolation)["outcome"] in {*REFUSED, "EBADF"}

    assert given.read_text() == "precious"
    assert stat.S_IMODE(given.stat().st_mode) == 0o600


def test_output_is_written_by_its_descriptor_and_stays_the_file_it_is(server: Server) -> None:
    output, victim = server.folder / "output", server.file("victim")
    isolation = {"opens": [[str(output), True]]}

    assert server.attack("write_to_opened", isolation=isolation)["got"] == 6
    replaced = server.attack("replace_by_symlink", output, victim, isolation=isolation)

    assert replaced["outcome"] in REFUSED
    assert stat.S_ISREG(output.lstat().st_mode)
    assert (output.read_text(), victim.read_text()) == ("result", "precious")


@pytest.mark.parametrize("kind", ["symlink", "fifo", "device", "folder"])
@pytest.mark.parametrize("writable", [True, False])
def test_what_is_opened_is_a_regular_file(server: Server, kind: str, *, writable: bool) -> None:
    path, victim = server.folder / "output", server.file("victim")
    if kind == "symlink":
        path.symlink_to(victim)
    elif kind == "fifo":
        os.mkfifo(path)
        server.own(path)
    elif kind == "device":
        path = Path("/dev/zero")
    else:
        path.mkdir()
        server.own(path)

    answer = server.attack("write_to_opened", isolation={"opens": [[str(path), writable]]})

    assert answer["outcome"] == "Internal"
    assert victim.read_text() == "precious"


def test_the_disk_cannot_be_filled_by_way_of_the_output(server: Server) -> None:
    output = server.folder / "output"
    limits = {"file_bytes": 1024**2}
    isolation = {"opens": [[str(output), True]]}
    for attack in ("fill_opened", "fill_sparsely"):
        answer = server.attack(attack, 64 * 1024**2, isolation=isolation, limits=limits)
        assert answer["outcome"] == "EFBIG"

    assert output.stat().st_size <= 1024**2


def test_no_descriptor_is_inherited(server: Server) -> None:
    found = server.attack("standing", isolation=STRICT)["got"]["descriptors"]
    kinds = sorted(stat.filemode(kind)[0] for kind in found.values())

    # Two of /dev/null, the pipe for errors, the conversation; a handle of a file in /proc that allows nothing.
    assert kinds == ["-", "c", "c", "p", "s"]


# Network


@pytest.fixture
def tcp() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


def is_readable(receiver: socket.socket, wait_seconds: float = 0) -> bool:
    return bool(select.select([receiver], [], [], wait_seconds)[0])


def saw_nobody(listener: socket.socket) -> bool:
    with contextlib.suppress(BlockingIOError):
        listener.accept()[0].close()
        return False
    return True


def test_no_address_of_the_internet_can_be_reached(server: Server, tcp: socket.socket) -> None:
    port = tcp.getsockname()[1]

    assert server.attack("connect_tcp", port, isolation=STRICT)["outcome"] == "EPERM"
    assert saw_nobody(tcp)
    assert server.attack("connect_tcp", port)["outcome"] == "through"
    assert not saw_nobody(tcp)


def test_no_datagram_can_be_sent(server: Server) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        port = receiver.getsockname()[1]

        assert server.attack("send_udp", port, isolation=STRICT)["outcome"] == "EPERM"
        assert not is_readable(receiver)
        assert server.attack("send_udp", port)["outcome"] == "through"
        assert is_readable(receiver, wait_seconds=60)


@pytest.mark.parametrize("network", [False, True])
@pytest.mark.parametrize("is_abstract", [True, False])
def test_no_unix_socket_can_be_reached(server: Server, *, network: bool, is_abstract: bool) -> None:
    path = f"@headwater-{os.getpid()}" if is_abstract else str(server.folder / "socket")
    isolation = {"network": network, "reads": [str(server.folder)]}
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0" + path[1:] if is_abstract else path)
        listener.listen()
        listener.setblocking(False)
        if not is_abstract:
            server.own(Path(path))

        assert server.attack("connect_unix", path, isolation=isolation)["outcome"] == "EPERM"
        assert saw_nobody(listener)
        assert server.attack("connect_unix", path)["outcome"] == "through"
        assert not saw_nobody(listener)


@pytest.mark.parametrize("network", [False, True])
def test_a_pair_of_sockets_sends_to_nobody_else(server: Server, *, network: bool) -> None:
    path = server.folder / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        server.own(path)
        isolation = {"network": network, "reads": [str(server.folder)]}

        assert server.attack("send_by_pair", path, isolation=isolation)["outcome"] == "EPERM"
        assert not is_readable(receiver)
        assert server.attack("send_by_pair", path)["outcome"] == "through"
        assert is_readable(receiver, wait_seconds=60)


def test_a_child_that_dials_can_dial_and_no_more(server: Server, tcp: socket.socket) -> None:
    dials = {"network": True}
    port = tcp.getsockname()[1]

    assert server.attack("connect_tcp", port, isolation=dials)["outcome"] == "through"
    assert not saw_nobody(tcp)
    assert server.attack("listen_tcp")["outcome"] == "through"
    assert server.attack("listen_tcp", isolation=dials)["outcome"] == "EPERM"
    assert server.attack("create", server.folder / "new", isolation=dials)["outcome"] == "EPERM"
    assert server.attack("fork", isolation=dials)["outcome"] == "EPERM"
    assert server.attack("read", "/etc/shadow", isolation=dials)["outcome"] == "EACCES"
