"""Which types can be handed to a mutation without a copy."""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import Any, get_origin

from msgspec import inspect


def is_immutable(kind: Any) -> bool:
    """Tell whether values of a type cannot be changed in place, all the way down. In doubt they can."""
    return _is_immutable(inspect.type_info(kind), set())


def _is_immutable(info: inspect.Type, seen: set[type]) -> bool:
    match info:
        case inspect.StructType(cls=cls, fields=fields) | inspect.DataclassType(cls=cls, fields=fields):
            if cls in seen:
                return True
            seen.add(cls)
            return _is_frozen(cls) and all(_is_immutable(field.type, seen) for field in fields)
        case inspect.TupleType(item_types=items) | inspect.UnionType(types=items):
            return all(_is_immutable(item, seen) for item in items)
        case inspect.VarTupleType(item_type=item) | inspect.FrozenSetType(item_type=item):
            return _is_immutable(item, seen)
        case inspect.Metadata(type=inner):
            return _is_immutable(inner, seen)
        case _:
            return isinstance(info, _PLAIN)


_PLAIN = (
    *(inspect.NoneType, inspect.BoolType, inspect.IntType, inspect.FloatType, inspect.StrType, inspect.BytesType),
    *(inspect.DateTimeType, inspect.DateType, inspect.TimeType, inspect.TimeDeltaType, inspect.UUIDType),
    *(inspect.DecimalType, inspect.EnumType, inspect.LiteralType),
)


def _is_frozen(cls: type[Any]) -> bool:
    cls = get_origin(cls) or cls
    settings = getattr(cls, "__dataclass_params__" if is_dataclass(cls) else "__struct_config__")
    return bool(settings.frozen)
