"""Faults on the production profile: what is killed, what the forge does wrong, and what must hold all the same.

``run.play`` plays one game; `make chaos` (``bench.chaos``) is its long form and ``test_chaos`` its short one.
"""
