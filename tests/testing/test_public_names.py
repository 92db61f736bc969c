import pytest

import arcane_framework
from arcane_framework import testing

PACKAGES = [arcane_framework, testing]


@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_loaded_later_is_what_is_public(package: object) -> None:
    assert dir(package) == sorted(package.__all__)  # type: ignore[attr-defined]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_loaded_when_it_is_asked_for(package: object) -> None:
    for name in dir(package):
        assert getattr(package, name) is getattr(package, name)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'arcane_framework.testing' has no attribute 'StreamTests'$"):
        _ = testing.StreamTests
