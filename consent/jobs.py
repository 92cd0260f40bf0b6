"""The clock of this app. Each job is also a command."""

from procrastinate.contrib.django import app

from access_control.restore import refuse_restored
from consent.services.notices import send_notices


@app.periodic(cron="* * * * *")
@app.task(queueing_lock="send_notices", name="consent.send_notices")
def send_queued_notices(timestamp: int) -> dict[str, int]:
    """Every minute: send what is queued. Two runs at once share the queue and send nothing twice.

    Raises DatabaseRestored: nothing leaves the house while a restore is not accepted.
    """
    refuse_restored()
    sent = send_notices()
    return {"sent": sent.sent, "refused": sent.refused, "failed": sent.failed, "waiting": sent.waiting}
