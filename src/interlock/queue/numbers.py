"""Numbers as people write them, on a command line or in an environment variable. Cheap to import."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from interlock.kernel.errors import Invalid

if TYPE_CHECKING:
    from decimal import Decimal

_WHOLE = re.compile(r"\d{1,15}", re.ASCII)
_RATE = re.compile(r"(?:\d{1,9}(?:\.\d{0,18})?|\.\d{1,18})(?:[eE][+-]?\d{1,2})?", re.ASCII)


def whole(text: str, what: str) -> int:
    """Read a whole number from 0 on."""
    if not _WHOLE.fullmatch(text):
        raise Invalid(f"{what} is a whole number from 0 on, not {text[:40]!a}")
    return int(text)


def whole_in(variable: str, default: int) -> int:
    """Read an environment variable's whole number."""
    text = os.environ.get(variable)
    return default if text is None else whole(text, variable)


def rate(text: str, what: str) -> Decimal:
    """Read a rate, exactly as it was written."""
    from decimal import Decimal

    if not _RATE.fullmatch(text):
        raise Invalid(f"{what} is a rate from 0 on, such as 0.2, not {text[:40]!a}")
    return Decimal(text)
