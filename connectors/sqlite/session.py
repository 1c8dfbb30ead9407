"""SQLite files opened as data and nothing else, and SQLite's errors as ours."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from connectors.errors import CellTooLarge, FileInvalid

STATEMENT_BYTES = 1024**2

_ALLOWED = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE})
_PRAGMAS = frozenset({"table_list", "table_xinfo", "data_version"})  # FTS5 asks for the last
_FUNCTIONS_REFUSED = frozenset({"load_extension", "fts3_tokenizer"})
_HEADER_BYTES = 100
_WAL = 2
_UTF8 = (b"\0\0\0\1", b"\0\0\0\0")  # a database without tables has none yet


def open_file(path: Path, cell_bytes_max: int) -> sqlite3.Connection:
    """The file as data: read-only, immutable, its schema untrusted, and all but reading denied."""
    uri = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
    with translated():
        session = sqlite3.connect(uri, uri=True, isolation_level=None)
        session.text_factory = bytes
        session.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, cell_bytes_max + STATEMENT_BYTES)
        session.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        for pragma in ("trusted_schema = off", "query_only = on", "cell_size_check = on"):
            session.execute(f"pragma {pragma}")
        session.set_authorizer(_authorize)
        return session


def _authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    is_allowed = (
        action in _ALLOWED
        # Asked when a virtual table declares its columns; no statement can do it.
        or (action == sqlite3.SQLITE_UPDATE and first == "sqlite_master")
        or (action == sqlite3.SQLITE_PRAGMA and first in _PRAGMAS)
        or (action == sqlite3.SQLITE_FUNCTION and second not in _FUNCTIONS_REFUSED)
    )
    return sqlite3.SQLITE_OK if is_allowed else sqlite3.SQLITE_DENY


def check_header(path: Path) -> tuple[bool, bool]:
    """Whether the database is in WAL mode, and in UTF-8. Raises FileInvalid for no database, or half of one."""
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if not header.startswith(b"SQLite format 3\0"):
        raise _not_a_database()
    page_bytes = int.from_bytes(header[16:18], "big")
    page_bytes = 65_536 if page_bytes == 1 else page_bytes
    is_current = header[24:28] == header[92:96]  # else an old SQLite wrote no page count
    needed = page_bytes * int.from_bytes(header[28:32], "big") if is_current else 0
    size = path.stat().st_size
    if size < max(needed, _HEADER_BYTES):
        raise FileInvalid(
            f"The SQLite file is cut off: it has {size:,} of {max(needed, _HEADER_BYTES):,} bytes.",
            hint="Upload it again, whole.",
        )
    return header[18] == _WAL, header[56:60] in _UTF8


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """SQLite's errors as ours."""
    try:
        yield
    except sqlite3.DataError as error:
        raise CellTooLarge(
            "A value in the SQLite file is over the limit for one value.",
            hint="Leave the column out, or raise HEADWATER_CELL_BYTES_MAX.",
        ) from error
    except UnicodeDecodeError as error:  # SQLite's own message, with a name of the schema in it
        raise _damaged("its schema is not UTF-8") from error
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code == sqlite3.SQLITE_NOTADB:
            raise _not_a_database() from error
        if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_IOERR}:
            raise _damaged(str(error)) from error
        raise FileInvalid(
            f"SQLite refuses to read this part of the file ({error}).",
            hint="A view may use what is missing, or do more than read.",
        ) from error


def _damaged(why: str) -> FileInvalid:
    return FileInvalid(
        f"The SQLite file is damaged ({why}).",
        hint="`sqlite3 file .recover` may save what is left of it.",
    )


def _not_a_database() -> FileInvalid:
    return FileInvalid(
        "The file is not a SQLite database, or it is encrypted.",
        hint="Upload the database file itself, unpacked and without a password.",
    )


def decoded(value: bytes) -> str:
    """A name in the schema."""
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise FileInvalid("A name in the SQLite file's schema is not UTF-8.") from error
