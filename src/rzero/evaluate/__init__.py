"""Accuracy on questions with gold answers."""
