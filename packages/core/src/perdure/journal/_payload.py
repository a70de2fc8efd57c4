"""Events and states as the payloads of records, and back.

msgspec knows structs, dataclasses and plain data. A pydantic model is stored as what it dumps, and read by its own
validation, wherever it stands. pydantic is not imported: a model is known by its validator.

A model chooses what it dumps and what it accepts, and the two may differ (an excluded field, a hidden secret), so each
is read back when it is stored, and refused unless it is what it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from perdure.journal._record import Format, Stored

Encode: TypeAlias = Callable[[object], bytes]
Decode: TypeAlias = Callable[[msgspec.Raw | bytes], Any]

_SHOWN = re.compile(
    r"(Invalid (?:enum )?value |unknown field |input_value=)(?:.*(?= - at `[$~]|, input_type=)|.*)", re.DOTALL
)
"""The values in what msgspec and pydantic say."""


def is_model(kind: Any) -> bool:
    """Tell whether a type is a pydantic model."""
    return hasattr(kind, "__pydantic_validator__") and hasattr(kind, "model_validate")


def payload_encoder(format: Format) -> Encode:
    """Return a function that encodes the payload of a record. It raises what msgspec and pydantic raise."""
    if format == "json":
        return msgspec.json.Encoder(enc_hook=_json_of_model).encode
    return msgspec.msgpack.Encoder(enc_hook=_msgpack_of_model).encode


def payload_decoder(kind: Any, format: Format) -> Decode:
    """Return a function that decodes the payload of a record into `kind`; `Any` gives plain data."""
    if _is_validated_dataclass(kind):
        validate = _model_of_json if format == "json" else _model_of_msgpack
        return lambda payload: validate(kind, plain(payload, format))
    if format == "json":
        return msgspec.json.Decoder(kind, dec_hook=_model_of_json).decode
    return msgspec.msgpack.Decoder(kind, dec_hook=_model_of_msgpack).decode


def plain(payload: msgspec.Raw | bytes, format: Format) -> Any:
    """Return the payload of a record as plain data. Raises `msgspec.MsgspecError`."""
    return msgspec.json.decode(payload) if format == "json" else msgspec.msgpack.decode(payload)


def encoded(value: object, format: Format) -> bytes:
    """Return plain data as the payload of a record. Raises what msgspec raises."""
    return msgspec.json.encode(value) if format == "json" else msgspec.msgpack.encode(value)


def told(error: Exception) -> tuple[str, Exception | None]:
    """Return what an error says without the values that it shows, and the error itself if it shows none.

    What is stored may be a secret, and errors go to logs. What a type's own validation says is its own affair.
    """
    text = str(error)
    masked = _SHOWN.sub(lambda found: f"{found[1]}…", text)
    return masked, error if masked == text else None


def whole_decoder(kind: Any) -> Callable[[bytes], Stored[Any]]:
    """Return a function that decodes a whole MessagePack record whose payload is a `kind`."""
    if _is_validated_dataclass(kind):
        return lambda body: _validated(kind, _decode_stored(body))
    return msgspec.msgpack.Decoder(Stored[kind], dec_hook=_model_of_msgpack).decode


def array_decoder(kind: Any) -> Callable[[bytes], list[Stored[Any]]]:
    """Return a function that decodes an array of whole MessagePack records whose payloads are a `kind`."""
    if _is_validated_dataclass(kind):
        return lambda array: [_validated(kind, stored) for stored in _decode_array(array)]
    return msgspec.msgpack.Decoder(list[Stored[kind]], dec_hook=_model_of_msgpack).decode


def _is_validated_dataclass(kind: Any) -> bool:
    """Tell whether a type is a pydantic dataclass, which msgspec would read without pydantic."""
    return hasattr(kind, "__pydantic_validator__") and hasattr(kind, "__dataclass_fields__")


def _validated(kind: Any, stored: Stored[Any]) -> Stored[Any]:
    return msgspec.structs.replace(stored, payload=_model_of_msgpack(kind, stored.payload))


def _msgpack_of_model(model: Any) -> msgspec.Raw:
    _check_is_model(model)
    try:
        payload = _encode_msgpack(_dumped(model, "python"))
    except TypeError:  # such as a URL or a network address, which are text in JSON
        payload = _encode_msgpack(_dumped(model, "json"))
    return _read_back(model, payload, _model_of_msgpack(type(model), msgspec.msgpack.decode(payload)))


def _json_of_model(model: Any) -> msgspec.Raw:
    _check_is_model(model)
    payload = _encode_json(_dumped(model, "json"))
    return _read_back(model, payload, _model_of_json(type(model), msgspec.json.decode(payload)))


def _model_of_msgpack(kind: Any, value: Any) -> Any:
    _check_is_validated(kind)
    return kind.__pydantic_validator__.validate_python(value, strict=False)


def _model_of_json(kind: Any, value: Any) -> Any:
    _check_is_validated(kind)
    return kind.__pydantic_validator__.validate_json(msgspec.json.encode(value), strict=False)


def _dumped(model: Any, mode: str) -> Any:
    return type(model).__pydantic_serializer__.to_python(model, mode=mode, by_alias=True, round_trip=True)


def _read_back(model: Any, payload: bytes, back: Any) -> msgspec.Raw:
    if not _same(model, back):
        raise ValueError(f"a {type(model).__name__} would not come back as it is: {_difference(model, back)}")
    return msgspec.Raw(payload)


def _difference(model: Any, back: Any) -> str:
    fields = [name for name, value in vars(model).items() if not _same(value, vars(back).get(name))]
    return f"see its {', '.join(fields)}" if fields else "see its private attributes"


def _same(one: Any, other: Any) -> bool:
    """Tell whether two values are equal, or would be if NaN were equal to itself."""
    if one == other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return one != one and other != other
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return is_model(type(one)) and _same(_insides(one), _insides(other))


def _insides(model: Any) -> list[Any]:
    return [vars(model), model.__pydantic_extra__, model.__pydantic_private__]


def _check_is_model(value: object) -> None:
    if not is_model(type(value)):
        raise TypeError(f"objects of type {type(value).__name__} cannot be stored")


def _check_is_validated(kind: Any) -> None:
    if not hasattr(kind, "__pydantic_validator__"):
        raise TypeError(f"objects of type {kind!r} cannot be read back")


_decode_stored: Callable[[bytes], Stored[Any]] = msgspec.msgpack.Decoder(Stored[Any]).decode
_decode_array: Callable[[bytes], list[Stored[Any]]] = msgspec.msgpack.Decoder(list[Stored[Any]]).decode
_encode_msgpack = msgspec.msgpack.Encoder(enc_hook=_msgpack_of_model).encode
_encode_json = msgspec.json.Encoder(enc_hook=_json_of_model).encode
