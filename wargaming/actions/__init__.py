"""Wargames at GitHub Actions: the order and its workflow, what runs there, reading back what it says, and the steps in between."""
