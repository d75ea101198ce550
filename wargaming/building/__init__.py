"""Wheels built here, in the sandbox, from source distributions: only where WARGAME_BUILDS allows it."""
