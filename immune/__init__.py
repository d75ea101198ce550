"""Advisories, repositories, matching, APVs, remedies, forges and the event log. Knows nothing of wargames or reviews."""
