from django.db import migrations, models
import django.db.models.deletion


class Migration(migrations.Migration):

    dependencies = [
        ('immune', '0014_freeze_labels'),
    ]

    operations = [
        migrations.RenameModel(old_name='ReportJob', new_name='Job'),
        migrations.RenameModel(old_name='ReportChunk', new_name='JobPiece'),
        migrations.AlterModelOptions(
            name='job',
            options={'verbose_name': 'import or export', 'verbose_name_plural': 'imports and exports'},
        ),
        migrations.RemoveConstraint(
            model_name='jobpiece',
            name='report_chunks_once',
        ),
        migrations.AddField(
            model_name='job',
            name='arguments',
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name='job',
            name='expired_at',
            field=models.DateTimeField(blank=True, null=True, verbose_name='result removed'),
        ),
        migrations.AddField(
            model_name='job',
            name='kind',
            field=models.CharField(choices=[('report', 'report, SBOM or VEX document taken in'), ('scan', 'files looked through'), ('advisories', 'advisories taken in'), ('export', 'VEX document written')], default='report', max_length=20, verbose_name='kind'),
        ),
        migrations.AddField(
            model_name='jobpiece',
            name='is_output',
            field=models.BooleanField(default=False),
        ),
        migrations.AlterField(
            model_name='job',
            name='repository',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='jobs', to='immune.repository'),
        ),
        migrations.AlterField(
            model_name='jobpiece',
            name='job',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='pieces', to='immune.job'),
        ),
        migrations.AddConstraint(
            model_name='job',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['report', 'scan', 'advisories', 'export'])), name='report_jobs_kind_known'),
        ),
        migrations.AddConstraint(
            model_name='jobpiece',
            constraint=models.UniqueConstraint(fields=('job', 'is_output', 'number'), name='report_chunks_once'),
        ),
    ]
