"""What the documentation refers to is there, and what it repeats is the same everywhere."""

import ast
import json
import re
from pathlib import Path

import pytest

from arcane_framework.cli.graph_picture import draw
from arcane_framework.hosting import environment
from arcane_framework.plugins.rest_api import RestApiStream
from docs import generate
from tests.docs import pages
from tests.typing import checkers

README = pages.ROOT / "README.md"
DOCS = pages.ROOT / "docs"
EXAMPLES = {"hello_world.py", "custom_source.py", "custom_sink.py"}

_TEST = re.compile(r"`(?P<file>[\w/]+\.py)::(?P<function>\w+)`")
_VARIABLE = re.compile(r"[A-Z][A-Z_]*_[A-Z_]+[A-Z]")


def files(page: Path) -> dict[str, str]:
    return {block.file: block.text for block in pages.blocks(page.read_text()) if block.file}


# The reference.


def test_the_reference_is_up_to_date() -> None:
    found = {path.name: path.read_text() for path in generate.REFERENCE.iterdir()}
    assert found == generate.generate(), "run python docs/generate.py"


def test_every_environment_variable_is_described() -> None:
    described = {name for names, _, _ in generate.VARIABLES for name in names}
    tree = ast.parse(Path(environment.__file__).read_text())
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    variables = {text for text in texts if _VARIABLE.fullmatch(text)}
    assert "STREAMCONTEXT__SPEC" in variables
    assert variables - described == set()


def test_the_reference_speaks_to_people() -> None:
    text = "".join(generate.generate().values())
    assert "Initialize self" not in text
    settings = generate.settings_page()
    assert "| `rowsPerGroup` | whole number greater than 0 | 100,000 |" in settings
    assert "| `nbytes` | whole number | 128 MiB |" in settings
    assert "Annotated" not in settings
    assert "<<" not in settings


def test_the_page_of_the_kinds_speaks_of_specs_and_not_of_classes() -> None:
    page = generate.kinds_page()
    for row in (
        "| `responsePropertyKeyChain` | list of text | `[]` | The properties on the way to the array of rows. |",
        "| `lookBackInterval` | duration, not negative | required |",
        "| `windowOverlapSeconds` | duration, not negative | `0` |",
        "| `sinkFormat` | `json`, `parquet` | `json` |",
        "| `responseSize` | whole number |  | The step of OFFSET, required there. |",
        "| `ARCANE__AUTHHEADERS` | required | A JSON object of headers. |",
        "| `ARCANE__TOKENHTTPMETHOD` | `GET` | How the endpoint is asked. |",
    ):
        assert row in page, row
    for word in ("Spec`", "None", "NOTHING", "Secret", "FieldType."):
        assert word not in page
    assert all(f"| `{kind}` |" in page for kind in RestApiStream.contexts)


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        ("bool", "`True` or `False`"),
        ("str | None", "text or `None`"),
        ("Annotated[str, Field(min_length=1)]", "text, not empty"),
        ("Annotated[Seconds, Field(gt=timedelta(0))]", "duration greater than 0"),
        ("tuple[PartitionField, ...]", "tuple of `PartitionField`"),
        ("Annotated[Seconds, Field(ge=NOTHING)]", "duration, not negative"),
        ("Placement", "`URL`, `BODY`"),
        ("Literal['a', 'b']", "`'a'`, `'b'`"),
        ("Literal['a']", "`'a'`"),
    ],
)
def test_the_type_of_a_setting_is_put_into_words(annotation: str, words: str) -> None:
    assert generate.setting_type(ast.parse(annotation, mode="eval").body) == words


@pytest.mark.parametrize("annotation", ["Annotated[int, Field(gt=5)]", "Annotated[int, Field(le=0)]", "list[int]"])
def test_a_type_without_words_is_noticed(annotation: str) -> None:
    with pytest.raises(LookupError, match="no words for the"):
        generate.setting_type(ast.parse(annotation, mode="eval").body)


@pytest.mark.parametrize(
    ("default", "words"),
    [
        ("128 << 20", "128 MiB"),
        ("100_000", "100,000"),
        ("1", "`1`"),
        ("True", "`True`"),
        ("timedelta(seconds=10)", "10 seconds"),
        ("field(default_factory=Segments)", "`Segments()`"),
    ],
)
def test_the_default_of_a_setting_is_put_into_words(default: str, words: str) -> None:
    assert generate.setting_default(ast.parse(default, mode="eval").body) == words
    assert generate.setting_default(None) == "required"


# Links and names.


@pytest.mark.parametrize("page", pages.pages(), ids=pages.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for link in pages.links(page.read_text()):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{pages.name(page)}: {link}"
        if anchor:
            titles = re.findall(r"(?m)^#+ (.+)$", target.read_text())
            assert anchor in {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}, link


def test_every_page_is_linked_from_another() -> None:
    linked = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in pages.pages()
        for link in pages.links(page.read_text())
    }
    assert set(pages.pages()) - linked <= {README}


@pytest.mark.parametrize("page", pages.pages(), ids=pages.name)
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    for match in _TEST.finditer(page.read_text()):
        tree = ast.parse((pages.ROOT / "tests" / match["file"]).read_text())
        functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert match["function"] in functions, match[0]


def test_the_compatibility_page_names_tests_for_its_rules() -> None:
    rules = [line for line in (DOCS / "compatibility.md").read_text().splitlines() if line.startswith("| ")]
    rules = [rule for rule in rules if not rule.endswith("shown by |")]
    assert len(rules) > 40
    for rule in rules:
        assert _TEST.search(rule) or "**Not yet**" in rule or "](reference/" in rule, rule


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = sorted(int(path.name[:4]) for path in (DOCS / "decisions").glob("0*.md"))
    assert numbers == list(range(1, len(numbers) + 1))


# What is repeated.


def test_the_picture_in_the_readme_is_that_of_its_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "orders_of_the_readme.py").write_text(files(README)["orders.py"])
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({**json.loads(files(README)["spec.json"]), "sinkLocation": "/lake"}))
    monkeypatch.syspath_prepend(str(tmp_path))
    picture = draw("orders_of_the_readme:Orders", spec, backfill=False, environ={})
    shown = [block.text for block in pages.blocks(README.read_text()) if block.language == "mermaid"]
    assert shown == [picture]


def test_the_tutorial_ends_with_the_plugin_of_the_readme() -> None:
    assert files(DOCS / "tutorial.md")["orders.py"] == files(README)["orders.py"]


def test_the_tutorials_pieces_are_those_of_its_plugin() -> None:
    tutorial = DOCS / "tutorial.md"
    plugin = files(tutorial)["orders.py"]
    pieces = [
        block.text for block in pages.blocks(tutorial.read_text()) if block.language == "python" and not block.file
    ]
    classes = [piece[piece.index("\nclass ") :].strip() for piece in pieces if "\nclass " in piece]
    assert len(classes) == 2
    assert all(piece in plugin for piece in classes)


@pytest.mark.parametrize("page", pages.pages(), ids=pages.name)
def test_an_example_on_a_page_is_that_of_the_examples_folder(page: Path) -> None:
    for name in EXAMPLES & files(page).keys():
        assert files(page)[name] == (pages.ROOT / "examples" / name).read_text(), name


def test_the_short_examples_stand_on_a_page() -> None:
    shown = {name for page in pages.pages() for name in files(page)}
    assert shown >= EXAMPLES


def test_the_readmes_plugin_is_about_thirty_lines() -> None:
    lines = [line for line in files(README)["orders.py"].splitlines() if line.strip()]
    assert len(lines) <= 32


def test_plugins_on_pages_type_check(tmp_path: Path) -> None:
    for number, page in enumerate(pages.pages()):
        programs = []
        for name, text in files(page).items():
            if name.endswith(".py"):
                program = tmp_path / str(number) / name
                program.parent.mkdir(exist_ok=True)
                program.write_text(text)
                programs.append(program)
        if programs:
            assert checkers.mypy(programs) == [], pages.name(page)
