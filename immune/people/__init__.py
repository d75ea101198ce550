"""Accounts, teams, roles and tokens, and who may see which repository."""
