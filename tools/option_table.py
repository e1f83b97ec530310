"""Write the table of all options into docs/running.md, between its two markers: python tools/option_table.py."""

from __future__ import annotations

from pathlib import Path

from rzero.config import Option, options

PAGE = Path(__file__).parents[1] / "docs" / "running.md"
BEGIN = "<!-- options: begin (written by tools/option_table.py) -->"
END = "<!-- options: end -->"


def table() -> str:
    """The table in Markdown, one row an option."""
    rows = [
        f"| `{option.name}` | {_default(option)} | {option.meaning.replace('|', chr(92) + '|')} |"
        for option in options()
    ]
    return "\n".join(["| option | default | meaning |", "|---|---|---|", *rows])


def updated(page: str) -> str:
    """``page`` with the table of the present options. Raises ValueError if a marker is missing."""
    before, _, rest = page.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"{PAGE.name} needs both markers, {BEGIN!r} and {END!r}; put them back")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def _default(option: Option) -> str:
    if option.default in ("", ()):
        return "none"
    return f"`{str(option.default).lower() if isinstance(option.default, bool) else option.default}`"


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
