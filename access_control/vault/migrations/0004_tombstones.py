from django.db import migrations, models


class Migration(migrations.Migration):
    """What stays of a destroyed member's number, and for how long."""

    dependencies = [("vault", "0003_what_a_restore_cannot_forget")]

    operations = [
        migrations.CreateModel(
            name="Tombstone",
            fields=[
                ("stone", models.BinaryField(primary_key=True, serialize=False)),
                ("destroyed_at", models.DateTimeField()),
                ("ends_on", models.DateField()),
            ],
            options={"indexes": [models.Index(fields=["ends_on"], name="vault_tombstone_ends")]},
        ),
        migrations.AddField("installation", "tombstone_key", models.BinaryField(null=True)),
        migrations.AddField("installation", "tombstone_days", models.IntegerField(db_default=400, default=400)),
    ]
