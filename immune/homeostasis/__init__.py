"""Brakes against overreaction: how much may be open and merged at once, what goes round in circles, and how the whole is doing.

``states``, ``room`` and ``loops`` are pure; ``admission`` and ``balance`` read and write rows. See docs/homeostasis.md.
"""
