# The little of jsonschema that the tests use; the package carries no types.
from collections.abc import Iterator, Mapping
from typing import Any

class ValidationError(Exception):
    message: str
    absolute_path: list[str | int]

class Draft202012Validator:
    def __init__(self, schema: Mapping[str, Any]) -> None: ...
    def iter_errors(self, instance: Any) -> Iterator[ValidationError]: ...

class Draft7Validator:
    def __init__(self, schema: Mapping[str, Any], *, registry: Any) -> None: ...
    def iter_errors(self, instance: Any) -> Iterator[ValidationError]: ...
