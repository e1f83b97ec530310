"""Grading: one extractor, one equivalence, one pool of killable workers, shared by reward, vote and evaluation."""

from __future__ import annotations

from rzero.grading.ahead import GradingAhead, grading_ahead
from rzero.grading.extract import last_boxed
from rzero.grading.grader import Grader, versions

__all__ = ["Grader", "GradingAhead", "grading_ahead", "last_boxed", "versions"]
