"""Answers that hang or mislead a parser, each written for one weakness of symbolic grading. Every one must come to an
end.

Towers of powers are computed as whole numbers before anybody can interrupt; factorials of factorials likewise; long
rows of brackets or operators drive a grammar or a regular expression into backtracking; huge sparse objects make an
equality test expand them.
"""

from __future__ import annotations

HOSTILE: dict[str, str] = {
    "tower of powers inside a fraction": r"\dfrac{7^{(7^{(7^{(7^7)})}-2)}-3}{18}",
    "tower of powers, bare": "8^8^8^8^8",
    "tower of powers, Python's": "8**8**8**8",
    "tower of three, under every limit of depth": "9^{9^{9}}",
    "whole-number power": "3^{99999999}",
    "whole-number power of six digits": "7^{999999}",
    "root of a power": r"\sqrt[3]{9^{9^{8}}}",
    "factorial": "999999!",
    "factorial of a factorial": "(12!)!",
    "binomial": r"\binom{999999}{499999}",
    "product of large powers": "*".join(["9^{99999}"] * 24),
    "expanded sum of powers": r"(a+b+c+d+e+f)^{999}",
    "long equation of powers": "(x+1)^{400}-(x-1)^{400}",
    "integral": r"\int_0^1 x^{x^{x}} dx",
    "infinite sum": r"\sum_{n=1}^{\infty} \frac{1}{n^{n^{n}}}",
    "limit": r"\lim_{x \to 0} \frac{\sin(\sin(\sin(x)))}{x^{99}}",
    "digits": "1" * 60_000,
    "decimal digits": "0." + "3" * 60_000,
    "brackets, open": "(" * 20_000,
    "brackets, nested": "(" * 400 + "x" + ")" * 400,
    "braces, nested": "{" * 3000 + "1" + "}" * 3000,
    "fractions, nested": r"\frac{1}{" * 400 + "2" + "}" * 400,
    "square roots, nested": r"\sqrt{" * 300 + "2" + "}" * 300,
    "commas": ",".join(["1"] * 20_000),
    "unions": r"\cup".join(["(1,2)"] * 60),
    "operators": "1" + "+1" * 20_000,
    "minus signs": "-" * 20_000 + "1",
    "spaces": " " * 60_000 + "7",
    "backslashes": "\\" * 20_001,
    "text command, unclosed": r"\text{" * 5000,
    "units without end": r"5\text{ m}" * 4000,
    "no letters at all": "\x00\x01\x02" * 4000,
    "surrogates": "\ud800" * 50,
    "matrix": r"\begin{pmatrix}" + r"1 & 2 \\ " * 2000 + r"\end{pmatrix}",
    "code": "__import__('os').system('sleep 60')",
}
"""Name of the weakness, and the answer."""
