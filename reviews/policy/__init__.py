"""The decision engine: from the facts of a change to a recommendation, with its reasons. Pure: no Django, no I/O.

``facts`` says what may be known, ``conditions`` what a policy may ask, ``engine`` which policy speaks, ``approvals`` whose word is
still missing, ``content`` how a policy is written down, ``reflex`` the rules that act at once. Rows and the people who change them
stand in ``reviews.policies``.
"""

from reviews.policy.conditions import Conditions
from reviews.policy.engine import DEFAULT, Advice, Outcome, Policy, advise
from reviews.policy.facts import WEAKEST_FIRST, Facts, weakest

__all__ = ["DEFAULT", "WEAKEST_FIRST", "Advice", "Conditions", "Facts", "Outcome", "Policy", "advise", "weakest"]
