"""Policies and reflex rules as rows: who wrote which version, which is switched on, what they say of a change, and what they would
have said. What a version means is pure and stands in ``reviews.policy``."""
