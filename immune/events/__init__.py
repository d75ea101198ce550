"""The event log: one unit of work writes rows and events together; readers follow positions."""
