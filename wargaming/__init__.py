"""Scenarios, environments, sandboxes, evidence and verdicts. Knows nothing of reviews."""
