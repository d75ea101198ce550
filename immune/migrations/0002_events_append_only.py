"""On PostgreSQL the log refuses UPDATE and DELETE. SQLite has no roles to hold to it; there verification alone tells."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION events_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events are append only: % refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE ON events
    FOR EACH ROW EXECUTE FUNCTION events_append_only();
"""
BACK = """
DROP TRIGGER events_append_only ON events;
DROP FUNCTION events_append_only();
"""


def forward(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        # None: the % in the text is PL/pgSQL's, not a parameter of ours.
        schema_editor.execute(FORWARD, params=None)


def back(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(BACK, params=None)


class Migration(migrations.Migration):
    dependencies = [("immune", "0001_initial")]
    operations = [migrations.RunPython(forward, back)]
