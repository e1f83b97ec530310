"""Values as JSON that may stand inside a page."""

from __future__ import annotations

import json
import math
from typing import Any

_ESCAPES = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026"}


def as_json(value: Any) -> str:
    r"""JSON that may stand in a script element of a page. Numbers that are not finite become null.

    >>> as_json({"text": "</script><b>", "nan": float("nan")})
    '{"text":"\\u003c/script\\u003e\\u003cb\\u003e","nan":null}'
    """
    text = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(_ESCAPES)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(name): _finite(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return value
