"""The addresses of the JSON API. Apart from those of the pages, so that `ce` finds them without loading all pages."""

from django.urls import URLPattern, path

from batches.pages.api import batches, ideas, merges, phases, plans, projects, pull_requests, reviews, steering
from batches.pages.api.endpoint import endpoint

urlpatterns: list[URLPattern] = [
    path("api/batches/", endpoint(GET=batches.batches, POST=batches.new_batch), name="api_batches"),
    path("api/batches/<int:number>/", endpoint(GET=batches.batch), name="api_batch"),
    path("api/batches/<int:number>/plan/", endpoint(GET=phases.plan), name="api_batch_plan"),
    path("api/batches/<int:number>/report/", endpoint(GET=batches.report), name="api_report"),
    path("api/batches/<int:number>/execute/", endpoint(POST=batches.execute), name="api_execute"),
    path("api/batches/<int:number>/retry/", endpoint(POST=batches.retry), name="api_retry"),
    path("api/batches/<int:number>/cancel/", endpoint(POST=batches.cancel), name="api_cancel"),
    path("api/batches/<int:number>/verify/", endpoint(GET=batches.verification, POST=batches.verify), name="api_verify"),
    path("api/batches/<int:number>/verify/stop/", endpoint(POST=batches.verify_stop), name="api_verify_stop"),
    path("api/batches/<int:number>/phases/<str:key>/accept/", endpoint(POST=batches.accept), name="api_accept"),
    path("api/batches/<int:number>/phases/<str:key>/log/", endpoint(GET=phases.log), name="api_log"),
    path("api/batches/<int:number>/diff/", endpoint(GET=phases.diff), name="api_diff"),
    path("api/batches/<int:number>/merge/", endpoint(GET=merges.merge_preview, POST=merges.merge), name="api_merge"),
    path("api/batches/<int:number>/bring-in/", endpoint(POST=merges.bring_in), name="api_bring_in"),
    path("api/batches/<int:number>/judge/", endpoint(POST=merges.judge), name="api_judge"),
    path(
        "api/batches/<int:number>/pull-request/",
        endpoint(GET=pull_requests.pull_request, POST=pull_requests.ask_for),
        name="api_pull_request",
    ),
    path("api/batches/<int:number>/pull-request/remarks/", endpoint(POST=pull_requests.give), name="api_pull_request_remarks"),
    path("api/batches/<int:number>/runs/<int:run>/", endpoint(GET=phases.run), name="api_run"),
    path("api/batches/<int:number>/review/", endpoint(POST=reviews.review), name="api_review"),
    path("api/batches/<int:number>/context/", endpoint(GET=reviews.proposal, POST=reviews.context), name="api_context"),
    path("api/batches/<int:number>/context/decide/", endpoint(POST=reviews.decide_context), name="api_decide_context"),
    path("api/batches/<int:number>/phases/<str:key>/say/", endpoint(POST=steering.say), name="api_say"),
    path("api/batches/<int:number>/phases/<str:key>/answer/", endpoint(POST=steering.answer), name="api_answer"),
    path("api/batches/<int:number>/phases/<str:key>/stop/", endpoint(POST=steering.stop), name="api_stop"),
    path("api/batches/<int:number>/phases/<str:key>/transcript/", endpoint(GET=phases.transcript), name="api_transcript"),
    path("api/plans/", endpoint(POST=plans.plans), name="api_plans"),
    path("api/plans/<int:pk>/", endpoint(GET=plans.plan), name="api_plan"),
    path("api/ideas/", endpoint(GET=ideas.ideas, POST=ideas.new_idea), name="api_ideas"),
    path("api/ideas/<int:pk>/", endpoint(GET=ideas.idea), name="api_idea"),
    path("api/ideas/<int:pk>/answer/", endpoint(POST=ideas.answer), name="api_idea_answer"),
    path("api/ideas/<int:pk>/revise/", endpoint(POST=ideas.revise), name="api_idea_revise"),
    path("api/ideas/<int:pk>/again/", endpoint(POST=ideas.again), name="api_idea_again"),
    path("api/ideas/<int:pk>/stop/", endpoint(POST=ideas.stop), name="api_idea_stop"),
    path("api/ideas/<int:pk>/undo/", endpoint(POST=ideas.undo), name="api_idea_undo"),
    path("api/plans/validate/", endpoint(POST=plans.validate), name="api_validate"),
    path("api/plans/analyze/", endpoint(POST=plans.analyze), name="api_analyze"),
    path("api/projects/", endpoint(GET=projects.projects), name="api_projects"),
    path("api/metrics/", endpoint(GET=projects.metrics), name="api_metrics"),
]
