"""From the votes on the questions to what the Solver trains on. Plain values in and out."""
