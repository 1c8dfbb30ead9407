"""What a user writes about a connection, checked: its kind, its public settings, and its secrets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

import connectors
from base.errors import InvalidInput, NotFound, PlatformError
from connectors.connector import Family
from models import DataSourceType, Project, Upload
from services import values
from services.platform import Platform
from services.sources import fetching

OBJECT_KEY_CHARS_MAX = 300
SETTING_CHARS_MAX = 4096
_NO_SETTINGS = {"engine", "dropped"}


class DatabaseEngine(StrEnum):
    """The database engines; the values are the connectors' kinds."""

    POSTGRESQL = "postgresql"
    MYSQL = "mysql"
    SQLITE = "sqlite"


@dataclass(frozen=True, slots=True)
class FileGiven:
    """A file, uploaded or at a URL. None where the user said nothing; `dropped` are settings said to be null.

    `file_name` is what one at a URL is to be called, whatever it is called there.
    """

    object_key: str | None = None
    delimiter: str | None = None
    encoding: str | None = None
    column_types: Any = None
    dropped: tuple[str, ...] = ()
    url: str | None = field(default=None, repr=False)
    file_name: str | None = None


@dataclass(frozen=True, slots=True)
class DatabaseGiven:
    """A database as a source. None where the user said nothing."""

    engine: DatabaseEngine
    host: str | None = None
    port: int | None = None
    database: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ssl_mode: str | None = None
    url: str | None = field(default=None, repr=False)
    options: Any = None
    object_key: str | None = None


@dataclass(frozen=True, slots=True)
class ApiGiven:
    """A web API. `auth` is `{bearer}`, `{api_key}` or `{basic}`, `resources` are as `connectors.rest` takes them.

    `dropped` are those of `auth` and `headers` of which an update keeps nothing.
    """

    base_url: str
    auth: Any = field(default=None, repr=False)
    headers: Any = field(default=None, repr=False)
    resources: Any = None
    dropped: tuple[str, ...] = ()


Given = FileGiven | DatabaseGiven | ApiGiven
_MEMBERS = {FileGiven: "file", DatabaseGiven: "database", ApiGiven: "api"}  # of the input
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Checked:
    """A connection that makes sense. `settings` may be shown, `secrets` may not; those in settings `dropped` go."""

    type: DataSourceType
    kind: str
    settings: dict[str, Any]
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    dropped: tuple[str, ...] = ()

    @property
    def is_draft(self) -> bool:
        """Whether it is a file that is still to come."""
        is_placed = "object_key" in self.settings or "url" in self.settings
        return self.type is DataSourceType.FILE and not is_placed


def key_place(given: Given, path: str) -> str:
    """Where in the input the object key of a connection at `path` is."""
    return f"{path}.{_MEMBERS[type(given)]}.objectKey"


async def check(
    platform: Platform,
    project: Project,
    given: Given,
    path: str,
    *,
    drafts: bool = False,
) -> Checked:
    """Check a connection for a source of this project, without reaching out to it. `path` is its input path.

    With `drafts` a file need not have a place. Raises InvalidInput, Unsupported, or NotFound for a file that is not an
    upload of the project.
    """
    path = f"{path}.{_MEMBERS[type(given)]}"
    raw = {name: getattr(given, name) for name in given.__slots__ if name not in _NO_SETTINGS}
    raw = {name: value for name, value in raw.items() if value is not None}
    _refuse_unstorable(raw, path)
    if isinstance(given, ApiGiven):
        settings, secrets = _located(path, lambda: connectors.parse("rest", raw))
        return Checked(DataSourceType.API, "rest", settings, secrets, given.dropped)
    if isinstance(given, FileGiven) and given.url is not None:
        return _file_at(given.url, raw, path)
    if isinstance(given, FileGiven) and given.file_name is not None:
        raise InvalidInput(
            "Only a file at a URL is given a name here: an uploaded file has one.",
            hint="Leave out fileName, or upload the file under another name.",
            field=f"{path}.fileName",
        )
    if drafts and isinstance(given, FileGiven) and given.object_key is None:
        settings = _located(path, lambda: fetching.check_unknown(raw))
        return Checked(DataSourceType.FILE, fetching.UNKNOWN_KIND, settings)
    if isinstance(given, DatabaseGiven) and given.engine is not DatabaseEngine.SQLITE:
        if given.object_key is not None:
            raise InvalidInput(
                f"{given.engine.name} is reached over the network; only SQLITE reads an uploaded file.",
                field=f"{path}.objectKey",
            )
        settings, secrets = _located(path, lambda: connectors.parse(given.engine.value, raw))
        return Checked(DataSourceType.DATABASE, given.engine.value, settings, secrets)
    upload = await _upload(platform, project, given.object_key, path)
    raw["file_name"] = upload.file_name
    if isinstance(given, DatabaseGiven):
        type_, kind = DataSourceType.DATABASE, given.engine.value
    else:
        type_, kind = DataSourceType.FILE, _kind_of(upload, path)
    settings, secrets = _located(path, lambda: connectors.parse(kind, raw))
    return Checked(type_, kind, settings, secrets)


def _file_at(url: str, raw: dict[str, Any], path: str) -> Checked:
    """A file at a URL; what it is may be known only when it was fetched."""
    if "object_key" in raw:
        raise InvalidInput("A file is either uploaded or at a URL.", field=f"{path}.url")
    others = {name: value for name, value in raw.items() if name != "url"}
    kind, settings, secrets = _located(path, lambda: fetching.check_url(url, others))
    return Checked(DataSourceType.FILE, kind, settings, secrets)


def _kind_of(upload: Upload, path: str) -> str:
    """The kind of file that an upload is, by its extension."""
    kind = _located(path, lambda: connectors.kind_of_file(upload.file_name), "objectKey")
    if kind.family is not Family.FILE:
        raise InvalidInput(
            f"{upload.file_name!r} is a database.",
            hint=f"Connect it as `database: {{ engine: {kind.name.upper()}, objectKey: … }}`.",
            field=f"{path}.objectKey",
        )
    return kind.name


async def _upload(
    platform: Platform, project: Project, object_key: str | None, path: str
) -> Upload:
    """The upload of this project with this key, if its bytes are there."""
    place = f"{path}.objectKey"
    if object_key is None:
        raise InvalidInput(
            "The object key of an uploaded file is needed.",
            hint="Upload the file first: `uploadFile` answers its object key. Files elsewhere have a `url`.",
            field=place,
        )
    values.text(object_key, place, chars_max=OBJECT_KEY_CHARS_MAX)
    upload = await Upload.get_or_none(object_key=object_key, project_id=project.id)
    if upload is None:
        raise NotFound(
            "There is no upload with this object key in the project.",
            hint="Upload the file to this project: `uploadFile` answers its object key.",
            field=place,
        )
    if await platform.store.head(object_key) is None:
        raise NotFound("The uploaded file is gone.", hint="Upload it again.", field=place)
    return upload


def _refuse_unstorable(raw: Mapping[str, Any], path: str) -> None:
    for name, value in raw.items():
        place = f"{path}.{_camel(name)}"
        if isinstance(value, str):
            values.text(value, place, chars_max=SETTING_CHARS_MAX)
        else:
            values.document(value, place)


def _located(path: str, check: Callable[[], T], fallback: str | None = None) -> T:
    """What `check` gives; its errors get their whole input path."""
    try:
        return check()
    except PlatformError as error:
        inner = _camel(error.field) if error.field else fallback
        error.field = f"{path}.{inner}" if inner else path
        raise


def _camel(path: str) -> str:
    """A setting as the API calls it; below the first dot are the user's own names."""
    first, dot, rest = path.partition(".")
    head, *words = first.split("_")
    return head + "".join(map(str.capitalize, words)) + dot + rest
