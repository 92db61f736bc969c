"""How a page's blocks are read."""

import pytest

from tests.docs import pages

PAGE = """# A title

```python
# file: plugin.py
x = 1
```

Text with a [link](other.md#part), a [site](https://example.org) and ```no block```.

```console
$ echo one
one
$ run forever  # stop it with Ctrl-C
```

```sh
make demo
```
"""


def test_blocks_have_their_language_file_and_line() -> None:
    plugin, console, shell = pages.blocks(PAGE)
    assert (plugin.language, plugin.file, plugin.text, plugin.line) == ("python", "plugin.py", "x = 1\n", 5)
    assert (console.language, console.file, console.line) == ("console", None, 11)
    assert shell.text == "make demo\n"


def test_commands_have_the_output_that_follows_them() -> None:
    _, console, _ = pages.blocks(PAGE)
    first, second = pages.commands(console)
    assert (first.text, first.output, first.interrupted) == ("echo one", "one\n", False)
    assert (second.output, second.interrupted) == (None, True)


def test_a_console_block_without_a_command_is_an_error() -> None:
    with pytest.raises(ValueError, match="line 7: a console block begins with a command"):
        list(pages.commands(pages.Block("console", "one\n", None, 7)))


def test_links_to_other_sites_and_inside_of_blocks_are_left_out() -> None:
    assert list(pages.links(PAGE + "```text\n[no](link.md)\n```\n")) == ["other.md#part"]
