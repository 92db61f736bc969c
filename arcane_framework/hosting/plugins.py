"""Finds the plugin that a run is about: by module and name, by entry point, or by the stream's kind."""

import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, Final, TypeVar

from arcane_framework._core.errors import ConfigurationError
from arcane_framework._core.graph import StreamGraphBuilder

ENTRY_POINT_GROUP: Final = "arcane_framework.streams"

HostT = TypeVar("HostT")
Builder = type[StreamGraphBuilder[Any]]


def find_plugin(
    name: str | None, kind: str, host_type: type[HostT], *, registered: Iterable[EntryPoint] | None = None
) -> Builder | HostT:
    """Import and check the plugin of a run. Called once, on the main thread; runs the plugin module's own code.

    For `module:Name` the current directory becomes importable, as with `python -m`.

    Args:
        name: `module:Builder`, `module:host` (an instance of `host_type`) or an entry point's name;
            None takes the entry point that is named like the kind.
        kind: The stream's kind.
        host_type: The class of host objects.
        registered: Entry points to choose from; None takes the installed packages' group `arcane_framework.streams`.

    Returns:
        A builder class that can be instantiated, or a host object.

    Raises:
        ConfigurationError: There is no such plugin, it cannot be imported, or it is neither a builder nor a host.
    """
    if name is not None and ":" in name:
        _make_current_directory_importable()
        target = name
    else:
        target = _registered_target(
            name, kind, entry_points(group=ENTRY_POINT_GROUP) if registered is None else registered
        )
    module_name, _, attribute = target.partition(":")
    if not module_name or not attribute:
        raise ConfigurationError(f"{target!r} names no plugin: write it as module:Builder")
    module = _import(module_name, target)
    return _checked(_attribute(module, attribute, target), module, target, host_type)


def _registered_target(name: str | None, kind: str, registered: Iterable[EntryPoint]) -> str:
    targets: dict[str, dict[str, str]] = {}
    for entry in registered:
        package = entry.dist.name if entry.dist else "an unknown package"
        targets.setdefault(entry.name, {})[entry.value.partition("[")[0].strip()] = package
    found = targets.get(name or kind)
    if found is None:
        raise ConfigurationError(_unknown(name, kind, targets))
    if len(found) > 1:
        raise ConfigurationError(
            f"several packages register the plugin name {name or kind!r} ({', '.join(sorted(found.values()))}): "
            f"uninstall all but one, or name the plugin as module:Builder, for instance {min(found)}"
        )
    return next(iter(found))


def _unknown(name: str | None, kind: str, known: Mapping[str, object]) -> str:
    wanted = f"no plugin has the name {name!r}" if name else f"no plugin is installed for the stream kind {kind!r}"
    return (
        f"{wanted}; known are: {', '.join(sorted(known)) or 'none'}. "
        "Install the package that registers it, or name the plugin as module:Builder"
    )


def _make_current_directory_importable() -> None:
    if not {"", os.curdir}.isdisjoint(sys.path):
        return
    try:
        current = os.getcwd()
    except OSError:  # the directory has been deleted; whatever is installed can still be imported
        return
    if current not in sys.path:
        sys.path.insert(0, current)


def _import(module_name: str, target: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise ConfigurationError(
                f"the plugin {target} cannot be imported: there is no module {error.name!r}, "
                "neither in the current directory nor installed"
            ) from error
        raise ConfigurationError(
            f"the plugin {target} cannot be imported: it needs the module {error.name!r}, which is not installed"
        ) from error
    except ConfigurationError:  # the plugin's own words
        raise
    except (Exception, SystemExit) as error:  # the plugin's own code has run
        raise ConfigurationError(
            f"the plugin {target} cannot be imported: {type(error).__name__}: {error}{_place(error)}"
        ) from error


def _place(error: BaseException) -> str:
    """Where the plugin raised, unless the message says it, as that of a syntax error does."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_import_machinery(frame.filename)]
    if not frames or isinstance(error, SyntaxError):
        return ""
    return f" ({os.path.basename(frames[-1].filename)}, line {frames[-1].lineno})"


def _is_import_machinery(filename: str) -> bool:
    return filename.startswith("<frozen ") or filename in (__file__, importlib.__file__)


def _attribute(module: ModuleType, attribute: str, target: str) -> object:
    value: object = module
    for part in attribute.split("."):
        if not hasattr(value, part):
            raise ConfigurationError(f"there is no plugin {target}: {_available(module)}")
        value = getattr(value, part)
    return value


def _available(module: ModuleType) -> str:
    names = sorted(
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, StreamGraphBuilder) and not inspect.isabstract(value)
    )
    if not names:
        return f"the module {module.__name__} has no stream graph builder"
    return f"the module {module.__name__} has the builder{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _checked(plugin: object, module: ModuleType, target: str, host_type: type[HostT]) -> Builder | HostT:
    if isinstance(plugin, host_type):
        return plugin
    if isinstance(plugin, type) and issubclass(plugin, StreamGraphBuilder):
        if not inspect.isabstract(plugin):
            return plugin
        missing = ", ".join(sorted(plugin.__abstractmethods__))
        raise ConfigurationError(f"{target} is no complete stream graph builder: it does not define {missing}")
    if isinstance(plugin, StreamGraphBuilder):
        raise ConfigurationError(f"{target} is a builder object: name its class, {type(plugin).__name__}, instead")
    if isinstance(plugin, type) and issubclass(plugin, host_type):
        raise ConfigurationError(f"{target} is a host class: name a host object, an instance of it, instead")
    raise ConfigurationError(
        f"{target} is neither a stream graph builder class nor a {host_type.__name__} object "
        f"(it is {_described(plugin)}); {_available(module)}"
    )


def _described(plugin: object) -> str:
    if isinstance(plugin, type):
        return f"the class {plugin.__name__}"
    return f"of type {type(plugin).__name__}"
