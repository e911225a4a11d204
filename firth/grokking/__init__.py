"""Grokking: a small transformer that learns to add, long after it knows its examples by heart; and how it does it."""
