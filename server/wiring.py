"""From settings to the long-lived things of a process; the API, the worker and the command share it."""

from __future__ import annotations

import os
import secrets
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import storage
from base import process
from base.credentials import Keyring, generate_key
from base.net import Guard
from base.settings import Sandbox, Settings, SettingsError
from services.platform import Platform
from storage import Credentials, ObjectStore

CACHE_FOLDER = "s3"
KEYS_FILE = "secret-keys"
TOKEN_FILE = "admin-token"  # noqa: S105 - a file name
_DEFAULT_PORTS = {
    "postgres": 5432,
    "postgresql": 5432,
    "redis": 6379,
    "rediss": 6379,
    "amqp": 5672,
    "amqps": 5671,
    "http": 80,
    "https": 443,
}


def prepare(settings: Settings) -> Settings:
    """Make the data folder and fill in what is kept there: the generated secret key.

    The folder is the owner's only (0700), since it holds data and keys. Safe when several processes start at once.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    if settings.secret_keys:
        return settings
    keys = keep_secret(settings.data_dir / KEYS_FILE, generate_key())
    return replace(settings, secret_keys=tuple(key for key in keys.split(",") if key))


def keep_secret(path: Path, new_value: str) -> str:
    """The secret kept in a file of mode 0600; written once, whole, by whoever comes first."""
    if not path.exists():
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(new_value + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)  # unlike a rename, this fails where another process was first
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    return path.read_text(encoding="utf-8").strip()


def build_platform(settings: Settings) -> Platform:
    """The platform of prepared settings; from now on this process's children are isolated as they say."""
    process.allow_limited(settings.sandbox is Sandbox.LIMITED)
    keyring = Keyring(settings.secret_keys)
    store = _store(settings, keyring)
    guard = Guard(allow_networks=settings.effective_allow_networks, deny=_own_services(settings))
    return Platform(settings=settings, keyring=keyring, store=store, guard=guard)


def _store(settings: Settings, keyring: Keyring) -> ObjectStore:
    url = settings.effective_storage_url
    try:
        return storage.open(
            url,
            signing_key=keyring.signing_key,
            public_url=settings.effective_public_url,
            credentials=_credentials(settings) if url.startswith("s3:") else None,
            folder=settings.data_dir.resolve() / CACHE_FOLDER,
            cache_bytes_max=settings.storage_cache_bytes_max,
        )
    except ValueError as error:
        msg = f"HEADWATER_STORAGE_URL: {error}"
        raise SettingsError(msg) from error


def _credentials(settings: Settings) -> Credentials:
    """Of the settings, else of the variables that every S3 tool knows."""
    if settings.storage_key_id:
        return Credentials(settings.storage_key_id, settings.storage_secret)
    key_id, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if not key_id or not secret:
        msg = (
            "S3 storage needs HEADWATER_STORAGE_KEY_ID and HEADWATER_STORAGE_SECRET, "
            "or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
        raise SettingsError(msg)
    return Credentials(key_id, secret, os.environ.get("AWS_SESSION_TOKEN") or None)


def _own_services(settings: Settings) -> tuple[str, ...]:
    """Addresses of ours that no source may be at, whatever networks are open.

    In development the metadata database's server may also hold the data that people try Headwater with.
    """
    urls = [settings.broker_url, f"http://{settings.host}:{settings.port}"]
    if endpoint := storage.endpoint_of(settings.effective_storage_url):
        urls.append(endpoint)
    if settings.is_production:
        urls.append(settings.effective_database_url)
    denied = []
    for url in urls:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
        if parts.hostname and port:
            denied.append(f"{parts.hostname}:{port}")
    return tuple(denied)
