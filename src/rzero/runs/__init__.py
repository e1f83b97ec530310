"""The run directory, its console and its logs."""
