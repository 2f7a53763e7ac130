"""Read a saved plan again."""

from django.conf import settings

from batches.core.plans.analysis import DocumentReport, analyse_document
from batches.models import Plan


def report_of(plan: Plan) -> DocumentReport:
    """The plan, read and analysed now."""
    return analyse_document(plan.text, max(settings.CE_UPLOAD_BYTES, len(plan.text) * 4))
