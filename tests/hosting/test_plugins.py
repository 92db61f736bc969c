import os
import subprocess
import sys
import textwrap
from importlib.metadata import EntryPoint
from pathlib import Path
from uuid import uuid4

import pytest

from arcane_framework._core.errors import ConfigurationError
from arcane_framework._core.graph import StreamGraphBuilder
from arcane_framework.hosting.plugins import ENTRY_POINT_GROUP, find_plugin

PRELUDE = """
from typing import Any
from arcane_framework._core.context import StreamContext
from arcane_framework._core.graph import RunnableGraph, StreamGraphBuilder
from tests.hosting.test_plugins import Host

class OrdersContext(StreamContext):
    pass

class Orders(StreamGraphBuilder[OrdersContext]):
    def build_graph(self, context: OrdersContext) -> RunnableGraph:
        raise NotImplementedError

class Unfinished(StreamGraphBuilder[OrdersContext]):
    pass

class Outer:
    Inner = Orders

host = Host()
instance = Orders(None)
number = 5
"""


class Host:
    """Stands for the framework's host class, which a plugin names an object of."""


class Folder:
    """A folder with plugin modules whose names no other test uses."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, text: str) -> str:
        name = f"plugin_{uuid4().hex}"
        (self.path / f"{name}.py").write_text(textwrap.dedent(text))
        return name


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.syspath_prepend(tmp_path)
    return Folder(tmp_path)


@pytest.fixture
def orders(folder: Folder) -> str:
    return folder.write(PRELUDE)


def message_of(name: str | None, kind: str = "Orders", *registered: EntryPoint) -> str:
    with pytest.raises(ConfigurationError) as caught:
        find_plugin(name, kind, Host, registered=registered)
    return str(caught.value)


def test_a_builder_class_is_found_by_module_and_name(orders: str) -> None:
    plugin = find_plugin(f"{orders}:Orders", "Orders", Host)
    assert isinstance(plugin, type)
    assert issubclass(plugin, StreamGraphBuilder)
    assert plugin.context_type("Orders").__name__ == "OrdersContext"
    assert find_plugin(f"{orders}:Outer.Inner", "Orders", Host) is plugin


def test_a_host_object_is_found_by_module_and_name(orders: str) -> None:
    assert isinstance(find_plugin(f"{orders}:host", "Orders", Host), Host)


def test_an_entry_point_is_found_by_its_name_or_by_the_streams_kind(orders: str) -> None:
    registered = [
        EntryPoint("Orders", f"{orders}:Orders", ENTRY_POINT_GROUP),
        EntryPoint("other", f"{orders}:host", ENTRY_POINT_GROUP),
    ]
    assert find_plugin(None, "Orders", Host, registered=registered) is find_plugin(f"{orders}:Orders", "", Host)
    assert isinstance(find_plugin("other", "Orders", Host, registered=registered), Host)


def test_an_installed_package_registers_its_kinds(orders: str, folder: Folder) -> None:
    information = folder.path / "plugin_orders-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin-orders\nVersion: 1.0\n")
    kind = f"Kind{uuid4().hex}"
    (information / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\n{kind} = {orders}:Orders\n")
    assert getattr(find_plugin(None, kind, Host), "__name__", "") == "Orders"
    with pytest.raises(
        ConfigurationError, match=f"no plugin is installed for the stream kind 'X'; known are: .*{kind}"
    ):
        find_plugin(None, "X", Host)


def test_an_unknown_kind_or_name_lists_the_known_ones(orders: str) -> None:
    registered = [EntryPoint(name, f"{orders}:Orders", ENTRY_POINT_GROUP) for name in ("Orders", "Bills")]
    remedy = "Install the package that registers it, or name the plugin as module:Builder"
    assert message_of(None, "orders", *registered) == (
        f"no plugin is installed for the stream kind 'orders'; known are: Bills, Orders. {remedy}"
    )
    assert message_of("Nope", "Orders", *registered) == (
        f"no plugin has the name 'Nope'; known are: Bills, Orders. {remedy}"
    )
    assert message_of(None, "Orders") == (
        f"no plugin is installed for the stream kind 'Orders'; known are: none. {remedy}"
    )


def test_a_name_that_two_packages_claim_is_refused_and_one_that_is_listed_twice_is_not(orders: str) -> None:
    one = EntryPoint("Orders", f"{orders}:Orders", ENTRY_POINT_GROUP)
    other = EntryPoint("Orders", f"{orders}:host", ENTRY_POINT_GROUP)
    assert message_of(None, "Orders", one, other) == (
        "several packages register the plugin name 'Orders' (an unknown package, an unknown package): "
        f"uninstall all but one, or name the plugin as module:Builder, for instance {orders}:Orders"
    )
    assert isinstance(find_plugin(None, "Orders", Host, registered=[one, one]), type)


@pytest.mark.parametrize("name", [":Orders", "orders:", ":"])
def test_a_name_without_module_or_builder_is_explained(name: str) -> None:
    assert message_of(name) == f"{name!r} names no plugin: write it as module:Builder"


@pytest.mark.parametrize("module", ["no_such_plugin", "no_such_package.plugin"])
def test_a_module_that_is_not_there_is_named(module: str) -> None:
    assert message_of(f"{module}:Orders") == (
        f"the plugin {module}:Orders cannot be imported: there is no module '{module.partition('.')[0]}', "
        "neither in the current directory nor installed"
    )


def test_a_module_missing_inside_a_package_is_named_in_full(folder: Folder) -> None:
    (folder.path / "somepackage_of_test").mkdir()
    assert "there is no module 'somepackage_of_test.plugin'," in message_of("somepackage_of_test.plugin:Orders")


def test_a_module_that_the_plugin_needs_is_named(folder: Folder) -> None:
    module = folder.write("import no_such_library.part\n")
    assert message_of(f"{module}:Orders") == (
        f"the plugin {module}:Orders cannot be imported: it needs the module 'no_such_library', which is not installed"
    )


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("x = 1\nraise RuntimeError('no licence')\n", "RuntimeError: no licence (NAME.py, line 2)"),
        ("def deep():\n    return {}['k']\ndeep()\n", "KeyError: 'k' (NAME.py, line 2)"),
        ("import sys\nsys.exit('bye')\n", "SystemExit: bye (NAME.py, line 2)"),
        ("def broken(:\n", "SyntaxError: invalid syntax (NAME.py, line 1)"),
    ],
)
def test_a_plugin_that_raises_when_imported_shows_type_message_and_place(folder: Folder, text: str, cause: str) -> None:
    module = folder.write(text)
    assert message_of(f"{module}:Orders") == (
        f"the plugin {module}:Orders cannot be imported: {cause.replace('NAME', module)}"
    )


def test_a_name_that_another_module_does_not_have_is_shown(folder: Folder) -> None:
    module = folder.write("from json import no_such_name\n")
    assert message_of(f"{module}:Orders").startswith(
        f"the plugin {module}:Orders cannot be imported: ImportError: cannot import name 'no_such_name' from 'json'"
    )


def test_a_missing_attribute_lists_the_builders_of_the_module(orders: str, folder: Folder) -> None:
    assert (
        message_of(f"{orders}:Ordrs")
        == f"there is no plugin {orders}:Ordrs: the module {orders} has the builder Orders"
    )
    empty = folder.write("x = 1\n")
    assert message_of(f"{empty}:Orders") == (
        f"there is no plugin {empty}:Orders: the module {empty} has no stream graph builder"
    )
    two = folder.write(f"from {orders} import Orders\nclass Bills(Orders):\n    pass\n")
    assert message_of(f"{two}:X") == f"there is no plugin {two}:X: the module {two} has the builders Bills, Orders"


@pytest.mark.parametrize(
    ("attribute", "reason"),
    [
        ("Unfinished", "is no complete stream graph builder: it does not define build_graph"),
        ("StreamGraphBuilder", "is no complete stream graph builder: it does not define build_graph"),
        ("instance", "is a builder object: name its class, Orders, instead"),
        ("Host", "is a host class: name a host object, an instance of it, instead"),
        (
            "number",
            (
                "is neither a stream graph builder class nor a Host object (it is of type int); "
                "the module MODULE has the builder Orders"
            ),
        ),
        (
            "OrdersContext",
            (
                "is neither a stream graph builder class nor a Host object (it is the class OrdersContext); "
                "the module MODULE has the builder Orders"
            ),
        ),
    ],
)
def test_what_is_no_plugin_is_explained(orders: str, attribute: str, reason: str) -> None:
    assert message_of(f"{orders}:{attribute}") == f"{orders}:{attribute} {reason.replace('MODULE', orders)}"


def test_an_entry_point_that_cannot_be_imported_is_explained() -> None:
    entry = EntryPoint("Orders", "no_such_plugin:Orders", ENTRY_POINT_GROUP)
    assert "there is no module 'no_such_plugin'" in message_of(None, "Orders", entry)


@pytest.mark.parametrize("gone", [False, True])
def test_modules_of_the_current_directory_can_be_named(folder: Folder, gone: bool) -> None:
    """In a process of its own, started like a console script: without the directory on the path."""
    module = folder.write("raise RuntimeError('found')\n")
    program = f"""
        import os, sys
        from arcane_framework.hosting.plugins import find_plugin
        os.chdir({str(folder.path)!r})
        assert {str(folder.path)!r} not in sys.path
        if {gone}:
            os.mkdir("gone"); os.chdir("gone"); os.rmdir(os.path.join("..", "gone"))
        try:
            find_plugin("{module}:Orders", "Orders", int)
        except Exception as error:
            print(error)
        """
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(program)],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert ("RuntimeError: found" in done.stdout) is not gone
    assert ("there is no module" in done.stdout) is gone
