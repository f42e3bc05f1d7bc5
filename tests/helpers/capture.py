"""What a function is called with, where the rest of the work is not wanted."""

import inspect
from typing import Any

import pytest


class Captured(Exception):
    """Holds the arguments of a call by name."""

    def __init__(self, **arguments: Any):
        self.arguments = arguments


def capture(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> None:
    """From now on the function raises what it is called with, defaults included."""
    signature = inspect.signature(getattr(module, name))

    def stop(*positional: Any, **named: Any) -> None:
        bound = signature.bind(*positional, **named)
        bound.apply_defaults()
        raise Captured(**bound.arguments)

    monkeypatch.setattr(module, name, stop)
