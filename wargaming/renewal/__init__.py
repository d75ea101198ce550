"""Renewing lock files and hashes: what the registries say, and the ecosystems' own resolvers in the sandbox."""
