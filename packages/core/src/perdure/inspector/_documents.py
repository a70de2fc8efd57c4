"""Values as documents: what JSON can say, so that any value can be shown and compared."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from perdure.journal import is_model

Document: TypeAlias = Any
"""Dicts with text for keys, lists, text, numbers, booleans and None."""

_UNSEEN = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def document(value: object) -> Document:
    """Return a copy of a value as a document. What has no other form is its `repr`, bytes are in base64."""
    try:
        built = msgspec.to_builtins(value, str_keys=True, enc_hook=_dumped)
        return msgspec.msgpack.decode(msgspec.msgpack.encode(built))  # by which tuples are lists
    except Exception:  # keys that are no text, numbers beyond 64 bits, or a value's own mistake
        return _spoken(value)


def pretty(found: Document) -> str:
    """Return a document as JSON in lines; in one line where it is nested very deeply."""
    try:
        return json.dumps(found, indent=2, ensure_ascii=False)
    except RecursionError:
        return msgspec.json.encode(found).decode()


def brief(found: Document, longest: int = 200) -> str:
    """Return the beginning of a document as JSON in one line."""
    text = ""
    try:
        for part in json.JSONEncoder(ensure_ascii=False).iterencode(found):
            text += part[: longest + 1]
            if len(text) > longest:
                return f"{text[:longest]}…"
    except RecursionError:
        return f"{text[:longest]}…"
    return text


def scalar(found: Document, longest: int = 300) -> str:
    """Return what is neither dict nor list as JSON, cut where it is longer, and told how long it is."""
    if isinstance(found, str) and len(found) > longest:
        return f'{json.dumps(found[:longest], ensure_ascii=False)[:-1]}…" ({len(found):,} characters)'
    text = json.dumps(found, ensure_ascii=False)
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text):,} digits)"


def visible(text: object) -> str:
    """Return text with what cannot be seen in it as escapes, so that it is neither hidden nor shown backwards."""
    return _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], str(text))


def _dumped(value: Any) -> object:
    """Return what a pydantic model dumps, and of anything else how it looks."""
    return value.model_dump() if is_model(type(value)) else repr(value)


def _spoken(value: object) -> Document:
    """Return a value as a document, part by part."""
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else _shown(key): document(held) for key, held in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [document(held) for held in value]
    if (fields := getattr(value, "__struct_fields__", None)) is not None:
        return {name: document(getattr(value, name)) for name in fields}
    return value if isinstance(value, str | int | float) else _shown(value)


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:
        return f"<{type(value).__name__}: its repr raised {type(error).__name__}>"
