"""Continuous batching over a paged key-value cache, through transformers' own modelling code."""
