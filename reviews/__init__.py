"""Policy, reviews, decisions, the console, the API and the live feed."""
