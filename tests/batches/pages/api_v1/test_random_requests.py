"""schemathesis: random requests, right and wrong ones, of every operation of the document. About 20 s of a processor."""

import os

import pytest
from django.core.wsgi import get_wsgi_application
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, seed, settings

from tests.batches import builders
from tests.batches.pages.api_v1.program import Program

pytestmark = [pytest.mark.long, pytest.mark.django_db]
EXAMPLES = int(os.environ.get("CE_API_EXAMPLES", "5"))  # right ones, and as many wrong ones, of each operation
# A text may fit its schema and still name nothing; what it names is held by the other tests.
LEFT_OUT = ("positive_data_acceptance",)
WRONG_IS_REFUSED = "negative_data_rejection"  # not asked about a body of plain text: every text is one, also "92606"


class Undone(Exception):
    """Takes back what a request changed."""


def test_random_requests_are_answered_as_the_document_says():
    import schemathesis  # here: half a second that nobody else need wait for
    from schemathesis import GenerationMode, checks
    from schemathesis.config import SchemathesisConfig

    batch = builders.failed_batch()
    batch.runs.update(reported_at=timezone.now())  # so that a stream ends at once
    gate = batch.phases.get(key="1").gates.first()
    real = {"number": batch.number, "key": "2a", "run": 1, "slug": batch.project.slug, "pk": batch.plan_id, "gate": gate.pk}
    program = Program(builders.make_user("root"))
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", get_wsgi_application(), config=SchemathesisConfig())
    checks.load_all_checks()
    wanted = {name: checks.CHECKS.get_one(name) for name in checks.CHECKS.get_all_names() if name not in LEFT_OUT}
    assert WRONG_IS_REFUSED in wanted
    asked = []

    def ask(case) -> None:
        asked.append(case)
        for name in case.path_parameters if len(asked) % 2 and case.meta.generation.mode == GenerationMode.POSITIVE else ():
            case.path_parameters[name] = real.get(name, 1)  # every second one asks about what there is
        try:
            with transaction.atomic():
                of_case = [wanted[name] for name in wanted if name != WRONG_IS_REFUSED or not (case.media_type or "").startswith("text/")]
                case.call_and_validate(headers={"Authorization": f"Bearer {program.token}"}, checks=of_case)
                raise Undone
        except Undone:
            pass

    operations = [found.ok() for found in schema.get_all_operations()]
    for place, operation in enumerate(operations):
        for mode in GenerationMode:
            limits = settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
            strategy = operation.as_strategy(generation_mode=mode)
            seed(place)(limits(given(case=strategy)(lambda case: ask(case))))()
    assert len(asked) >= EXAMPLES * len(operations)
