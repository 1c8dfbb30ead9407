"""Every setting, from `HEADWATER_…` variables, validated once at start and printable without its secrets."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from enum import EnumType, StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PREFIX = "HEADWATER_"
_GIB = 1024**3
_MIB = 1024**2
_LEAST = {
    "script_memory_bytes_max": 512 * _MIB,  # with pandas loaded, less is not enough for any script
}


class SettingsError(ValueError):
    """A setting is missing, unknown or wrong; the message names the variable."""


class Environment(StrEnum):
    """`production` refuses generated keys and closes private networks."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class Sandbox(StrEnum):
    """What to do where the system cannot isolate scripts and parsers."""

    STRICT = "strict"
    LIMITED = "limited"


def _setting(default: Any, doc: str, *, secret: bool = False) -> Any:
    return field(default=default, repr=not secret, metadata={"doc": doc, "secret": secret})


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration of a process.

    A field `name` is the variable `HEADWATER_NAME`; `HEADWATER_NAME_FILE` names a file that holds it.
    """

    env: Environment = _setting(Environment.DEVELOPMENT, "`development` or `production`")
    host: str = _setting("127.0.0.1", "address to listen on")
    port: int = _setting(8000, "port to listen on")
    data_dir: Path = _setting(Path("data"), "folder for everything the embedded defaults keep")
    public_url: str = _setting(
        "", "URL that clients reach this server by; default from host and port"
    )
    database_url: str = _setting(
        "", "`sqlite:///path` or `postgresql://…`; default SQLite in the data folder", secret=True
    )
    broker_url: str = _setting("embedded:", "`embedded:`, `redis://…` or `amqp://…`", secret=True)
    storage_url: str = _setting(
        "",
        "`file:///path`, or `s3://bucket/prefix?endpoint=…&public_endpoint=…&region=…&path_style=true`; "
        "default `objects` in the data folder",
        secret=True,
    )
    storage_key_id: str = _setting("", "access key id of S3; default `AWS_ACCESS_KEY_ID`")
    storage_secret: str = _setting(
        "", "secret access key of S3; default `AWS_SECRET_ACCESS_KEY`", secret=True
    )
    storage_cache_bytes_max: int = _setting(
        10 * _GIB, "bytes of the copies of S3's objects in the data folder"
    )
    secret_keys: tuple[str, ...] = _setting(
        (),
        "comma-separated keys, the first encrypts; default: one generated into the data folder",
        secret=True,
    )
    admin_token: str = _setting(
        "", "API token of the first user; default: one generated into the data folder", secret=True
    )
    allow_networks: tuple[str, ...] | None = _setting(
        None,
        "comma-separated CIDRs that sources may be in though not public; "
        "default: loopback and private networks in development, none in production",
    )
    allow_hosts: tuple[str, ...] = _setting(
        (),
        "comma-separated Host headers to accept; "
        "default: any in development, the public URL's in production",
    )
    cors_origins: tuple[str, ...] = _setting(
        (), "comma-separated origins that browsers may call from; default none"
    )
    introspection: bool | None = _setting(
        None,
        "schema introspection for anonymous callers; default: on in development, off in production",
    )
    log_level: str = _setting("INFO", "DEBUG, INFO, WARNING or ERROR")
    worker_threads: int = _setting(4, "jobs that one worker process runs at once")
    database_pool: int = _setting(10, "PostgreSQL connections a process may hold")
    body_bytes_max: int = _setting(1 * _MIB, "bytes of a GraphQL request's body, files apart")
    upload_bytes_max: int = _setting(5 * _GIB, "bytes of one uploaded file")
    cell_bytes_max: int = _setting(16 * _MIB, "bytes of one value in a file")
    query_seconds_max: int = _setting(10, "seconds that one operation may take")
    query_cost_max: int = _setting(20_000, "objects that one operation may ask for")
    connection_checks_per_minute_max: int = _setting(
        10, "connections that one user may test or introspect in a minute, per process"
    )
    snapshots_kept: int = _setting(
        20, "newest snapshots of a data source that stay whatever their age"
    )
    snapshots_kept_days: int = _setting(30, "days that older snapshots stay")
    sync_seconds_max: int = _setting(6 * 3600, "seconds that one sync may take")
    child_memory_bytes_max: int = _setting(
        4 * _GIB, "address space of a process that reads a source"
    )
    sandbox: Sandbox = _setting(
        Sandbox.STRICT,
        "`strict`: scripts and parsers run isolated or not at all; "
        "`limited`: where the system cannot isolate them, limits of memory and time are enough",
    )
    script_seconds_max: int = _setting(3600, "seconds that one step of a script job may take")
    script_memory_bytes_max: int = _setting(
        4 * _GIB, "address space of a process that runs a script"
    )
    script_output_bytes_max: int = _setting(
        16 * _GIB, "bytes that one step of a script job may write"
    )
    script_log_bytes_max: int = _setting(
        1 * _MIB, "bytes of the log that one step of a script job may write"
    )
    job_logs_kept_days: int = _setting(30, "days that logs of jobs that are over stay")
    jobs_kept_days: int = _setting(90, "days that jobs stay once they are over")
    subscriptions_per_user_max: int = _setting(
        100, "subscriptions that one user may have open, per process"
    )
    gateway_dialects: tuple[str, ...] | None = _setting(
        None,
        "comma-separated REST dialects to serve, of `schema_cms`, `prometheux`, `maxir` and `ufdl`; "
        "default all, empty for none",
    )
    gateway_wait_seconds_max: int = _setting(
        20, "seconds that a REST request may wait for its jobs before it answers how far they are"
    )
    lease_seconds: int = _setting(
        20, "seconds after which the job of a silent worker is taken over"
    )

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Settings:
        """Read and validate; raises `SettingsError`, also for a `HEADWATER_` variable that is not a setting."""
        env = os.environ if env is None else env
        known = {f.name: f for f in fields(cls)}
        values: dict[str, Any] = {}
        for variable, text in env.items():
            if not variable.startswith(PREFIX):
                continue
            name = variable.removeprefix(PREFIX).lower()
            is_path = name not in known and name.endswith("_file")
            name = name.removesuffix("_file") if is_path else name
            if name not in known:
                msg = f"{variable} is not a setting; `headwater serve --help` lists them"
                raise SettingsError(msg)
            if name in values:
                raise SettingsError(f"{PREFIX}{name.upper()} and its _FILE are both set; keep one")
            value = _read(variable, text) if is_path else text
            values[name] = _parse(variable, known[name], value)
        settings = cls(**values)
        settings._validate()
        return settings

    @property
    def is_production(self) -> bool:
        """Whether the strict defaults apply."""
        return self.env is Environment.PRODUCTION

    @property
    def effective_public_url(self) -> str:
        """The public URL without a trailing slash."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.public_url.rstrip("/") or f"http://{host}:{self.port}"

    @property
    def effective_database_url(self) -> str:
        """The database URL, with the embedded default filled in."""
        return self.database_url or f"sqlite:///{self.data_dir.resolve() / 'headwater.db'}"

    @property
    def effective_storage_url(self) -> str:
        """The storage URL, with the embedded default filled in."""
        return self.storage_url or f"file://{self.data_dir.resolve() / 'objects'}"

    @property
    def is_embedded(self) -> bool:
        """Whether `serve` runs the worker itself."""
        return self.broker_url.startswith("embedded:")

    @property
    def effective_allow_networks(self) -> tuple[str, ...]:
        """CIDRs opened to sources although they are not public."""
        if self.allow_networks is not None:
            return self.allow_networks
        return () if self.is_production else PRIVATE_NETWORKS

    @property
    def effective_introspection(self) -> bool:
        """Whether anonymous callers may read the schema."""
        return not self.is_production if self.introspection is None else self.introspection

    def printable(self) -> dict[str, str]:
        """Every setting as text, with secrets masked."""
        return {
            f.name: "•••"
            if f.metadata["secret"] and getattr(self, f.name)
            else str(getattr(self, f.name))
            for f in fields(self)
        }

    def _validate(self) -> None:
        schemes = {
            "public_url": {"", "http", "https"},
            "effective_database_url": {"sqlite", "postgresql", "postgres"},
            "broker_url": {"embedded", "redis", "rediss", "amqp", "amqps"},
            "effective_storage_url": {"file", "s3"},
        }
        for name, allowed in schemes.items():
            if _scheme(getattr(self, name)) not in allowed:
                choices = ", ".join(f"{scheme}:" for scheme in sorted(allowed - {""}))
                _refuse(name.removeprefix("effective_"), f"has to start with one of {choices}")
        if not 0 <= self.port <= PORT_MAX:
            _refuse("port", f"is not between 0 and {PORT_MAX}")
        for limit in fields(self):
            least = _LEAST.get(limit.name, 1)
            if limit.type == "int" and limit.name != "port" and getattr(self, limit.name) < least:
                _refuse(limit.name, f"is not at least {least}")
        if self.log_level not in LOG_LEVELS:
            _refuse("log_level", f"is not one of {', '.join(LOG_LEVELS)}")
        for network in self.allow_networks or ():
            _check_network(network)
        _check_pair(self.storage_key_id, self.storage_secret)
        if self.is_production and not self.secret_keys:
            _refuse("secret_keys", "is needed in production: a generated key goes with its machine")
        if not self.is_embedded and self.effective_database_url.startswith("sqlite"):
            _refuse(
                "broker_url", "needs a PostgreSQL HEADWATER_DATABASE_URL: SQLite is one machine's"
            )


PORT_MAX = 65_535
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
PRIVATE_NETWORKS = (
    "127.0.0.0/8",
    "::1/128",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "fc00::/7",
)


def _refuse(name: str, reason: str) -> None:
    msg = f"{PREFIX}{name.upper()} {reason}"
    raise SettingsError(msg)


def _scheme(url: str) -> str | None:
    try:
        return urlsplit(url).scheme
    except ValueError:  # a broken IPv6 host
        return None


def _check_pair(key_id: str, secret: str) -> None:
    if bool(key_id) != bool(secret):
        _refuse("storage_secret", "and HEADWATER_STORAGE_KEY_ID go together: set both or none")


def _check_network(network: str) -> None:
    try:
        ipaddress.ip_network(network)
    except ValueError as error:
        _refuse("allow_networks", f"holds {network!r}: {error}")


def _read(variable: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        msg = f"{variable}: cannot read {path}: {error.strerror}"
        raise SettingsError(msg) from error
    except UnicodeDecodeError:
        msg = f"{variable}: {path} does not hold text in UTF-8"
        raise SettingsError(msg) from None  # without the secret in the traceback


def _boolean(text: str) -> bool:
    return {"1": True, "true": True, "on": True, "0": False, "false": False, "off": False}[
        text.lower()
    ]


def _items(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


_PARSERS: dict[str, Callable[[str], Any]] = {
    "Environment": Environment,
    "Sandbox": Sandbox,
    "str": str,
    "int": int,
    "Path": Path,
    "bool | None": _boolean,
    "tuple[str, ...]": _items,
    "tuple[str, ...] | None": _items,
}


def _parse(variable: str, setting: Field[Any], text: str) -> Any:
    try:
        return _PARSERS[str(setting.type)](text)
    except (ValueError, KeyError) as error:
        kind = str(setting.type).removesuffix(" | None").lower()
        parser = _PARSERS[str(setting.type)]
        choices = f": {' or '.join(parser)}" if isinstance(parser, EnumType) else ""
        raise SettingsError(f"{variable}={text!r} is not a valid {kind}{choices}") from error
