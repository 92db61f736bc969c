import importlib

import pytest

from arcane_framework import testing


@pytest.mark.parametrize("name", testing.__all__)
def test_every_public_name_is_loaded_when_it_is_asked_for(name: str) -> None:
    module = importlib.import_module(f"{testing.__name__}.{testing._MODULES[name]}")
    assert getattr(testing, name) is getattr(module, name)
    assert name in dir(testing)


def test_what_is_loaded_later_is_what_is_public() -> None:
    assert sorted(testing._MODULES) == sorted(testing.__all__)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'arcane_framework.testing' has no attribute 'StreamTests'$"):
        _ = testing.StreamTests
