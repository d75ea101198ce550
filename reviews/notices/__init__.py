"""Telling people outside: webhooks, Slack, mail and PagerDuty, to one person or a team, at once, as a digest or when something is overdue.

``content`` says what is told, ``sealing`` keeps secrets, ``outgoing`` is the only way out, ``services`` is what people do with channels,
``sending`` is the work. See docs/notices.md.
"""
