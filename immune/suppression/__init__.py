"""Setting APVs aside for a while: one, a package in a repository, or an advisory everywhere; they come back by themselves."""
