"""Where the code lives: one protocol, a local git forge and GitHub."""
