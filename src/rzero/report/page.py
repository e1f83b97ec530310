"""The page: a template, styles and scripts that are files of this package, with the data as JSON beside them.

Nothing that a model wrote becomes markup. The data stand in a script element of type ``application/json``, in which
``<``, ``>`` and ``&`` are written as JSON escapes, so no text can end the element; the scripts put texts into the page
by ``textContent`` alone. A content security policy with the digests of our own scripts is the second lock: the browser
runs nothing else, and loads nothing.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import asdict
from importlib import resources, util
from string import Template

from rzero.errors import MissingExtraError
from rzero.report.as_json import as_json
from rzero.report.data import Report

SCRIPTS = ("base.js", "tables.js", "charts.js", "questions.js", "rollouts.js", "main.js")
"""In the order in which they run; the plotting library comes before the last."""


def available() -> bool:
    """Whether the plotting library is installed."""
    return util.find_spec("plotly") is not None


def render(report: Report) -> str:
    """The whole page. Raises MissingExtraError without plotly."""
    scripts = [_asset(name) for name in SCRIPTS]
    scripts.insert(-1, _plotly())
    policy = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    return Template(_asset("page.html")).substitute(
        policy=policy,
        style=_asset("style.css"),
        data=as_json(asdict(report)),
        scripts="\n".join(f"<script>{script}</script>" for script in scripts),
    )


def _asset(name: str) -> str:
    return (resources.files("rzero.report") / "assets" / name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")


def _plotly() -> str:
    if not available():
        raise MissingExtraError('the report needs its plotting library; run: pip install "rzero[report]"')
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()
