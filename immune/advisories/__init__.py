"""Published vulnerability records: reading, folding aliases, keeping them current."""
