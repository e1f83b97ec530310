"""What the benchmarks share. Only the standard library is imported at the top, so that every peer's environment can."""
