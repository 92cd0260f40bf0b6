"""What the console remembers of its vault, and the restores that two persons have accepted."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from access_control.ids import new_id
from access_control.privileges import ADDS, Writes


class VaultIdentity(models.Model):
    """Which vault database this console works with, noted at set-up and when a restore was accepted; the newest counts.

    A vault that is another one, or another restore epoch, was restored or moved.
    """

    id = models.BigAutoField(primary_key=True)
    noted_at = models.DateTimeField()
    database = models.BigIntegerField()
    system = models.BigIntegerField()
    timeline = models.IntegerField()
    restore_epoch = models.IntegerField()

    append_only = True
    privileges: ClassVar = {"app": ADDS}
    untracked = "Rows are only ever added."


class ToldMark(models.Model):
    """How far a vault was told of the ledger, certainly: it had committed it. A vault that knows less was restored.

    One row for each vault that was noted, written every few seconds while the console is used. It only grows (trigger).
    """

    vault = models.OneToOneField(VaultIdentity, models.PROTECT, primary_key=True, related_name="+")
    sequence = models.BigIntegerField()
    noted_at = models.DateTimeField()

    privileges: ClassVar = dict.fromkeys(("app", "purger"), Writes(insert=True, update=("sequence", "noted_at")))
    untracked = "It says of the vault what the vault's own marks say, and only grows."
    database_rules = (
        """
CREATE OR REPLACE FUNCTION told_mark_grows() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'what the vault was told only grows' USING ERRCODE = 'CA009';
END $$;
CREATE OR REPLACE TRIGGER told_mark_grows BEFORE UPDATE ON access_control_toldmark
  FOR EACH ROW WHEN (NEW.sequence < OLD.sequence) EXECUTE FUNCTION told_mark_grows();
""",
    )


class AcceptedRestore(models.Model):
    """Two persons have accepted that a database was restored from a backup: by which signs, and what is lost.

    Writing it raises the restore epoch (trigger): rows from before and after can be told apart.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    approval = models.OneToOneField("access_control.Approval", models.PROTECT, verbose_name=_("approval"))
    accepted_at = models.DateTimeField(_("accepted"))
    restore_epoch = models.IntegerField(_("restore epoch"), unique=True)
    signs = ArrayField(models.CharField(max_length=20), verbose_name=_("signs"))
    # Codes and counts: what vault and journal remember and the console does not.
    lost = models.JSONField(_("what is lost"), default=dict)

    append_only = True
    privileges: ClassVar = {"app": ADDS}
    untracked = "Rows are only ever added."
    database_rules = (
        """
CREATE OR REPLACE FUNCTION restore_is_accepted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM public.access_control_approval a WHERE a.id = NEW.approval_id AND a.kind = 'restore'
                    AND a.requester_id IS NOT NULL AND a.approver_id <> a.requester_id AND a.used_at IS NOT NULL) THEN
    RAISE EXCEPTION 'a restore is accepted by two persons' USING ERRCODE = 'CA009';
  END IF;
  UPDATE public.access_control_installation SET restore_epoch = NEW.restore_epoch
   WHERE restore_epoch < NEW.restore_epoch;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'a restore epoch only goes up' USING ERRCODE = 'CA009';
  END IF;
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER restore_is_accepted BEFORE INSERT ON access_control_acceptedrestore
  FOR EACH ROW EXECUTE FUNCTION restore_is_accepted();
""",
    )

    class Meta:
        verbose_name = _("accepted restore")
        verbose_name_plural = _("accepted restores")
        ordering: ClassVar = ["-restore_epoch"]

    def __str__(self) -> str:
        return str(self.restore_epoch)
