"""The review console inside the Django admin."""
