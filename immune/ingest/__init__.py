"""Taking in what scanners, SBOMs and VEX documents say: read whole into a sorted file first, then applied package by package."""
