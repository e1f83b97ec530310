"""Other places that a run's numbers may go to, beside ``metrics.jsonl``, which is always written.

Each package is imported in one file here. None of them needs an account or a network.
"""
