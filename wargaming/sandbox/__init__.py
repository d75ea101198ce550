"""Drivers that run one script apart from the host, behind one interface."""
