"""R-Zero: a Challenger and a Solver from one base model teach each other, with no data."""
