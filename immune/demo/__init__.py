"""The demonstration: a small real application with genuinely vulnerable pins, and the advisories of what it pins."""
