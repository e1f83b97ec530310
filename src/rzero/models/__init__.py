"""Open, check, render for, save and name language models."""
