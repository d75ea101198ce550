"""The live feed: one hub a process, sockets that resume by position."""
