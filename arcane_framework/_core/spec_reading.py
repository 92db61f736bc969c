"""Brings a spec into the spelling that a context class reads, and its secrets in from the environment.

Pydantic matches keys letter by letter and stops at the first of several aliases; specs are matched in any
letter case, and two spellings of one field that contradict each other are an error. So the spec is walked
along the class's annotations before pydantic sees it.
"""

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel, Secret, SecretBytes, SecretStr
from pydantic.fields import FieldInfo

Path = tuple[str | int, ...]


@dataclass(frozen=True, init=False)
class FromEnvironment:
    """Names the environment variables of a field, for a secret field instead of those that follow from its name.

    `Annotated[SecretStr, FromEnvironment("AZURE_STORAGE_CONNECTION", "ARCANE__CONNECTIONSTRING")]`
    reads the first of them that is set and not empty. On a field that is no secret it goes before the spec, and
    the value is not hidden in logs.
    """

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        if not names:
            raise TypeError("FromEnvironment needs the name of at least one environment variable")
        object.__setattr__(self, "names", names)


@dataclass(frozen=True)
class SpecReading:
    """What one walk over a spec has found beside the values.

    Attributes:
        environment: Where secrets come from: variable names with their values.
        problems: One line for each wrong field, in the spec's order, each once.
        variables: The environment variables of each field that has some, by its path in the spec.
        plain: Those of these fields that are no secrets.
        secret_values: The secrets' values; no message may show them.
    """

    environment: Mapping[str, str] = field(repr=False)
    problems: dict[str, None] = field(default_factory=dict)
    variables: dict[Path, tuple[str, ...]] = field(default_factory=dict)
    plain: set[Path] = field(default_factory=set)
    secret_values: set[str] = field(default_factory=set, repr=False)

    def read(self, model: type[BaseModel], spec: Mapping[str, Any], path: Path = ()) -> dict[str, Any]:
        """The spec with the keys that `model` reads, at every level; unknown keys are left alone."""
        spellings = spelling_table(model)
        result: dict[str, Any] = {}
        found: dict[str, list[tuple[str, str]]] = {}
        for key, value in spec.items():
            if known := spellings.get(str(key).casefold()):
                found.setdefault(known[0], []).append((key, known[1]))
            else:
                result[key] = value
        for name, keys in found.items():
            self._read_field(model.model_fields[name], spec, keys, path, result)
        self._fill_from_environment(model, path, result)
        return result

    def _read_field(
        self,
        info: FieldInfo,
        spec: Mapping[str, Any],
        keys: Sequence[tuple[str, str]],
        path: Path,
        result: dict[str, Any],
    ) -> None:
        (key, spelling), *others = keys
        value = spec[key]
        if _is_secret(info):
            self._refuse_secrets({given: spec[given] for given, _ in keys}, path)
            return
        if any(spec[other] != value for other, _ in others):
            self.problems[
                f"{path_text((*path, key))} and {' and '.join(other for other, _ in others)}: "
                "are spellings of one field and have different values; keep one of them"
            ] = None
        result[spelling] = self._read_value([info.annotation], value, (*path, spelling))

    def _refuse_secrets(self, given: Mapping[str, Any], path: Path) -> None:
        for key, value in given.items():
            if value is None:
                continue
            self.secret_values.update(_texts_in(value))
            self.problems[
                f"{path_text((*path, key))}: is a secret and must not be in the spec; "
                "remove it there and give it as an environment variable"
            ] = None

    def _read_value(self, annotations: Sequence[Any], value: Any, path: Path) -> Any:
        kinds = [kind for annotation in annotations for kind in _alternatives(annotation)]
        if isinstance(value, Mapping):
            return self._read_mapping(kinds, value, path)
        if isinstance(value, list):
            items = [part for kind in kinds if not _is_mapping(kind) for part in get_args(kind)]
            return [self._read_value(items, item, (*path, index)) for index, item in enumerate(value)]
        return value

    def _read_mapping(self, kinds: Sequence[Any], value: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
        # Each class of a union is offered its own spelling of the keys; pydantic picks the one that fits.
        readings: list[Mapping[str, Any]] = []
        for kind in kinds:
            if _is_model(kind):
                readings.append(self.read(kind, value, path))
            elif _is_mapping(kind):
                items = get_args(kind)[1:]
                readings.append({key: self._read_value(items, item, (*path, key)) for key, item in value.items()})
        return {key: item for reading in readings for key, item in reading.items()} if readings else value

    def _fill_from_environment(self, model: type[BaseModel], path: Path, result: dict[str, Any]) -> None:
        for name, info in model.model_fields.items():
            secret = _is_secret(info)
            if not secret and _marker(info) is None:
                continue
            spellings = field_spellings(name, info)
            names = _variables(spellings, info)
            self.variables[(*path, spellings[0])] = names
            if not secret:
                self.plain.add((*path, spellings[0]))
            if value := _first_set(names, self.environment):
                result[spellings[0]] = value
                if secret:
                    self.secret_values.add(value)


def field_spellings(name: str, info: FieldInfo) -> tuple[str, ...]:
    """How a spec may spell a field, the usual spelling first."""
    alias = info.validation_alias
    if isinstance(alias, AliasChoices):
        return tuple(choice for choice in alias.choices if isinstance(choice, str)) or (name,)
    return (alias,) if isinstance(alias, str) else (name,)


def spelling_table(model: type[BaseModel]) -> dict[str, tuple[str, str]]:
    """Field name and spelling by the case-folded spelling.

    Raises:
        TypeError: Two fields of the class cannot be told apart in a spec.
    """
    table: dict[str, tuple[str, str]] = {}
    for name, info in model.model_fields.items():
        for spelling in field_spellings(name, info):
            other, _ = table.setdefault(spelling.casefold(), (name, spelling))
            if other != name:
                raise TypeError(
                    f"{model.__name__}: the fields {other} and {name} are both spelled {spelling} in a spec"
                )
    return table


def path_text(path: Path) -> str:
    """A path as people write it: `partitions[0].fieldName`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif step.replace("_", "").replace("-", "").isalnum():
            text += f".{step}" if text else step
        else:
            text += f"[{step!r}]"
    return text


def plain_variables(model: type[BaseModel]) -> frozenset[str]:
    """The environment variables of a class's fields that are no secrets."""
    fields = [info for info in model.model_fields.values() if not _is_secret(info)]
    return frozenset(name for info in fields if (marker := _marker(info)) is not None for name in marker.names)


def _marker(info: FieldInfo) -> FromEnvironment | None:
    found = (*info.metadata, *_markers(info.annotation))
    return next((marker for marker in found if isinstance(marker, FromEnvironment)), None)


def _variables(spellings: Sequence[str], info: FieldInfo) -> tuple[str, ...]:
    marker = _marker(info)
    if marker is not None:
        return marker.names
    return (*(f"ARCANE__{spelling.replace('_', '').upper()}" for spelling in spellings), *spellings)


def _first_set(names: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """The first value that is set and not empty; an exact name goes before one in another letter case."""
    for name in names:
        same = sorted(key for key in environment if key.casefold() == name.casefold())
        for key in (name, *same):
            if value := environment.get(key):
                return value
    return None


def _is_secret(info: FieldInfo) -> bool:
    return any(issubclass(kind, (SecretStr, SecretBytes, Secret)) for kind in _classes_in(info.annotation))


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _is_mapping(kind: Any) -> bool:
    origin = get_origin(kind)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _alternatives(annotation: Any) -> Iterator[Any]:
    """The types that a value may have, without `Annotated` and alias names around them."""
    if _is_alias(annotation):
        yield from _alternatives(annotation.__value__)
    elif get_origin(annotation) is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, types.UnionType):
        for kind in get_args(annotation):
            yield from _alternatives(kind)
    else:
        yield annotation


def _is_alias(annotation: Any) -> bool:
    # By name: `typing` has the class from Python 3.12 on, before that pydantic brings its own.
    return type(annotation).__name__ == "TypeAliasType"


def _classes_in(annotation: Any) -> set[type]:
    """All classes that the annotation names, at any depth; alias names may be recursive."""
    classes: set[type] = set()
    seen: set[int] = set()
    pending = [annotation]
    while pending:
        part = pending.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        classes.update(kind for kind in (part, get_origin(part)) if isinstance(kind, type))
        pending += [part.__value__] if _is_alias(part) else get_args(part)
    return classes


def _markers(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Annotated:
        yield from get_args(annotation)[1:]
    for part in get_args(annotation):
        yield from _markers(part)


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts_in(item)
