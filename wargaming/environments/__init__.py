"""Resolved locks and the read-only layers built from them."""
