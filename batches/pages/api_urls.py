"""The addresses of the JSON API. Apart from those of the pages, so that `ce` finds them without loading all pages."""

from django.urls import URLPattern, path

from batches.pages import api, api_forges, api_ideas, api_steering, api_work
from batches.pages.api import endpoint

urlpatterns: list[URLPattern] = [
    path("api/batches/", endpoint(GET=api.batches, POST=api.new_batch), name="api_batches"),
    path("api/batches/<int:number>/", endpoint(GET=api.batch), name="api_batch"),
    path("api/batches/<int:number>/plan/", endpoint(GET=api_work.plan), name="api_batch_plan"),
    path("api/batches/<int:number>/report/", endpoint(GET=api.report), name="api_report"),
    path("api/batches/<int:number>/execute/", endpoint(POST=api.execute), name="api_execute"),
    path("api/batches/<int:number>/retry/", endpoint(POST=api.retry), name="api_retry"),
    path("api/batches/<int:number>/cancel/", endpoint(POST=api.cancel), name="api_cancel"),
    path("api/batches/<int:number>/verify/", endpoint(GET=api.verification, POST=api.verify), name="api_verify"),
    path("api/batches/<int:number>/verify/stop/", endpoint(POST=api.verify_stop), name="api_verify_stop"),
    path("api/batches/<int:number>/phases/<str:key>/accept/", endpoint(POST=api.accept), name="api_accept"),
    path("api/batches/<int:number>/phases/<str:key>/log/", endpoint(GET=api_work.log), name="api_log"),
    path("api/batches/<int:number>/diff/", endpoint(GET=api_work.diff), name="api_diff"),
    path("api/batches/<int:number>/merge/", endpoint(GET=api_work.merge_preview, POST=api_work.merge), name="api_merge"),
    path("api/batches/<int:number>/bring-in/", endpoint(POST=api_work.bring_in), name="api_bring_in"),
    path("api/batches/<int:number>/judge/", endpoint(POST=api_work.judge), name="api_judge"),
    path(
        "api/batches/<int:number>/pull-request/",
        endpoint(GET=api_forges.pull_request, POST=api_forges.ask_for),
        name="api_pull_request",
    ),
    path("api/batches/<int:number>/pull-request/remarks/", endpoint(POST=api_forges.give), name="api_pull_request_remarks"),
    path("api/batches/<int:number>/runs/<int:run>/", endpoint(GET=api_work.run), name="api_run"),
    path("api/batches/<int:number>/review/", endpoint(POST=api_work.review), name="api_review"),
    path("api/batches/<int:number>/context/", endpoint(GET=api_work.proposal, POST=api_work.context), name="api_context"),
    path("api/batches/<int:number>/context/decide/", endpoint(POST=api_work.decide_context), name="api_decide_context"),
    path("api/batches/<int:number>/phases/<str:key>/say/", endpoint(POST=api_steering.say), name="api_say"),
    path("api/batches/<int:number>/phases/<str:key>/answer/", endpoint(POST=api_steering.answer), name="api_answer"),
    path("api/batches/<int:number>/phases/<str:key>/stop/", endpoint(POST=api_steering.stop), name="api_stop"),
    path("api/batches/<int:number>/phases/<str:key>/transcript/", endpoint(GET=api_work.transcript), name="api_transcript"),
    path("api/plans/", endpoint(POST=api.plans), name="api_plans"),
    path("api/plans/<int:pk>/", endpoint(GET=api.plan), name="api_plan"),
    path("api/ideas/", endpoint(GET=api_ideas.ideas, POST=api_ideas.new_idea), name="api_ideas"),
    path("api/ideas/<int:pk>/", endpoint(GET=api_ideas.idea), name="api_idea"),
    path("api/ideas/<int:pk>/answer/", endpoint(POST=api_ideas.answer), name="api_idea_answer"),
    path("api/ideas/<int:pk>/revise/", endpoint(POST=api_ideas.revise), name="api_idea_revise"),
    path("api/ideas/<int:pk>/again/", endpoint(POST=api_ideas.again), name="api_idea_again"),
    path("api/ideas/<int:pk>/stop/", endpoint(POST=api_ideas.stop), name="api_idea_stop"),
    path("api/ideas/<int:pk>/undo/", endpoint(POST=api_ideas.undo), name="api_idea_undo"),
    path("api/plans/validate/", endpoint(POST=api.validate), name="api_validate"),
    path("api/plans/analyze/", endpoint(POST=api.analyze), name="api_analyze"),
    path("api/projects/", endpoint(GET=api.projects), name="api_projects"),
    path("api/metrics/", endpoint(GET=api.metrics), name="api_metrics"),
]
