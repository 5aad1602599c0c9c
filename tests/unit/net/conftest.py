"""The codec of known output that the tests of the codec use."""

from tests.unit.codec.conftest import pair

__all__ = ["pair"]
