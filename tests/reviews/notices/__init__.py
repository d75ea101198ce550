"""Tests of notices, against a real HTTP server and a real SMTP server of this process."""
