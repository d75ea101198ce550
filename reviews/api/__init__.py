"""The REST API: parse, authorise, call one service, answer."""
