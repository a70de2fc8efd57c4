"""Key files and folders of key files: read if nobody else could have read or written them, and written so.

The rules are those of ssh: a file belongs to the user of the process or to root, and neither its group nor others may
do anything with it. They are checked on the file that is open, so that it cannot be replaced in between; a link must
belong to the same users, and its target keep the same rules. Windows has other rights, and nothing is checked there.
"""

from __future__ import annotations

import os
import shlex
import stat

from perdure.errors import KeyringError
from perdure.security._format import FORM, VERSION, Found, keys_in, problem_with_version, text_of
from perdure.security._key import EncryptedKey

_MAX_BYTES = 8 * 1024 * 1024  # more than 65,535 keys take
_HEADER = "# Whoever has this file reads what is sealed with it; without it nobody does.\n"


def write_key_file(path: str | os.PathLike[str], *, version: int = 1) -> None:
    """Write a file with one new random key, which its owner alone may read and write.

    When it returns the file is durable. Raises `KeyringError` if the path exists, for a key that is overwritten is data
    that is lost, or if it cannot be written.
    """
    place = os.fsdecode(path)
    if wrong := problem_with_version(version):
        raise KeyringError(place, wrong)
    try:
        _create(place, _HEADER + text_of(version, EncryptedKey.generate()))
    except FileExistsError:
        raise KeyringError(place, "it exists, and keys are never overwritten: choose another path") from None
    except OSError as error:
        raise KeyringError(place, f"it cannot be written: {error.strerror}") from None


def _create(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
            if os.name == "posix":
                os.fchmod(descriptor, 0o600)  # whatever the umask and the folder's defaults are
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        _sync_folder(os.path.dirname(os.path.abspath(path)))
    except OSError:
        os.unlink(path)
        raise


def _sync_folder(path: str) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def keys_at(path: str) -> Found | KeyringError:
    """Return the keys in a file, or in a folder whose files are named by version, or why they cannot be had."""
    try:
        return _keys_in_folder(path) if os.path.isdir(path) else _keys_in_file(path)
    except OSError as error:
        return KeyringError(path, f"it cannot be read: {error.strerror}")


def _keys_in_file(path: str, owner: str = "") -> Found | KeyringError:
    text = _text(path)
    return text if isinstance(text, KeyringError) else keys_in(text, path, owner)


def _keys_in_folder(folder: str) -> Found | KeyringError:
    """Return the keys of all files but hidden ones; the file `active` names the active version."""
    if wrong := _distrust_folder(os.stat(folder)):
        return KeyringError(folder, wrong)
    keys: dict[int, bytes | EncryptedKey] = {}
    active = None
    for name in sorted(name for name in os.listdir(folder) if not name.startswith(".")):
        found = _keys_of_member(os.path.join(folder, name), name)
        if isinstance(found, KeyringError):
            return found
        keys |= found.keys
        active = found.active or active
    return Found(keys, active)


def _keys_of_member(path: str, name: str) -> Found | KeyringError:
    if name != "active" and not VERSION.fullmatch(name):
        return KeyringError(path, "its name is no version, 1 to 65535: keep nothing but keys in this folder")
    found = _keys_in_file(path, name)
    if isinstance(found, KeyringError):
        return found
    own = ([], True) if name == "active" else ([int(name)], False)
    if (list(found.keys), found.active is not None) != own:
        return KeyringError(path, f"it has more or other than {name}, its name: put each key into a file of its own")
    return found


def _text(path: str) -> str | KeyringError:
    """Return what is in a file, if nobody else can have put it there."""
    link = os.lstat(path)
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # a pipe is not waited for
    with open(descriptor, "rb") as file:
        if wrong := distrust(os.fstat(descriptor), path) or _distrust_owner(link):
            return KeyringError(path, wrong)
        try:
            return file.read(_MAX_BYTES).decode("utf-8-sig")
        except UnicodeDecodeError:
            return KeyringError(path, f"it is no text: {FORM}")


def distrust(status: os.stat_result, path: str) -> str | None:
    """Return why a file is not to be believed, or has been seen by others; None if it is one's own."""
    if not stat.S_ISREG(status.st_mode):
        return "it is no regular file"
    if os.name == "posix" and status.st_mode & 0o077:
        return (
            f"others than its owner may use it (its mode is {stat.S_IMODE(status.st_mode):o}): "
            f"chmod 600 {shlex.quote(path)}, and make new keys if they may have been read"
        )
    return _distrust_owner(status)


def _distrust_folder(status: os.stat_result) -> str | None:
    if os.name == "posix" and status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
        return f"others than its owner may put keys there (its mode is {stat.S_IMODE(status.st_mode):o}): chmod 700 it"
    return _distrust_owner(status)


def _distrust_owner(status: os.stat_result) -> str | None:
    if os.name != "posix" or status.st_uid in (0, os.geteuid()):
        return None
    return (
        f"it belongs to user {status.st_uid}, and this process is user {os.geteuid()}: give it to this one, or to root"
    )
