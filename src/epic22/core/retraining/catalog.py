"""All kinds of triggers. A new one is one module beside this one and one line here."""

from epic22.core.retraining import on_new_rows, on_quality, on_schedule
from epic22.core.retraining.trigger import TriggerKind

TRIGGERS: tuple[TriggerKind, ...] = (on_schedule.KIND, on_new_rows.KIND, on_quality.KIND)
