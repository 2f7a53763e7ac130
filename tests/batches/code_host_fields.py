"""Names of the fields in the answers of code hosts, as their published descriptions have them; `a.b` is the field b of the objects in a.

GitHub: its OpenAPI description, as the package @octokit/openapi 23.0.2 has it (MIT). Gitea: its swagger document, as gitea-js 1.23.0
has it (MIT). GitLab: the entities of which it makes its own (lib/api/entities, MIT). Names alone; of nested objects those that matter.
"""

FIELDS = {
    "github": {
        "pull": (
            "_links active_lock_reason additions assignee assignees author_association auto_merge base base.label base.ref "
            "base.repo base.sha base.user body changed_files closed_at comments comments_url commits commits_url created_at "
            "deletions diff_url draft head head.label head.ref head.repo head.repo.full_name "
            "head.sha head.user html_url id issue_url labels locked "
            "maintainer_can_modify merge_commit_sha mergeable mergeable_state merged merged_at merged_by milestone node_id number "
            "patch_url rebaseable requested_reviewers requested_teams review_comment_url review_comments review_comments_url stack "
            "state statuses_url title updated_at url user"
        ),
        "check-runs": (
            "check_runs check_runs.app check_runs.check_suite check_runs.completed_at check_runs.conclusion check_runs.deployment "
            "check_runs.details_url check_runs.external_id check_runs.head_sha check_runs.html_url check_runs.id check_runs.name "
            "check_runs.node_id check_runs.output check_runs.output.annotations_count check_runs.output.annotations_url "
            "check_runs.output.summary check_runs.output.text check_runs.output.title check_runs.pull_requests "
            "check_runs.started_at check_runs.status check_runs.url total_count "
            "check_runs.app.id check_runs.app.name check_runs.app.slug"
        ),
        "status": (
            "commit_url repository sha state statuses statuses.avatar_url statuses.context statuses.created_at statuses.description "
            "statuses.id statuses.node_id statuses.required statuses.state statuses.target_url statuses.updated_at statuses.url "
            "total_count url"
        ),
        "annotations": (
            "annotation_level blob_href end_column end_line message path raw_details start_column start_line title"
        ),
        "reviews": (
            "_links author_association body body_html body_text commit_id html_url id node_id pull_request_url state submitted_at "
            "user user.id user.login user.type"
        ),
        "line-comments": (
            "_links author_association body body_html body_text commit_id created_at diff_hunk html_url id in_reply_to_id line "
            "node_id original_commit_id original_line original_position original_start_line path position pull_request_review_id "
            "pull_request_url reactions side start_line start_side subject_type updated_at url user user.id user.login user.type"
        ),
        "comments": (
            "author_association body body_html body_text created_at html_url id issue_url minimized node_id "
            "performed_via_github_app pin reactions updated_at url user user.id user.login user.type"
        ),
        "issue": (
            "active_lock_reason assignee assignees author_association body body_html body_text closed_at closed_by comments "
            "comments_url created_at draft events_url html_url id issue_dependencies_summary issue_field_values labels labels_url "
            "locked milestone node_id number parent_issue_url performed_via_github_app pinned_comment pull_request reactions "
            "repository repository_url state state_reason sub_issues_summary timeline_url title type updated_at url user user.id "
            "user.login user.type"
        ),
    },
    "gitlab": {
        "pull": (
            "allow_collaboration allow_maintainer_to_push assignee assignees author blocking_discussions_resolved closed_at "
            "closed_by created_at description description_html discussion_locked downvotes force_remove_source_branch has_conflicts "
            "id iid labels merge_commit_sha merge_status merge_when_pipeline_succeeds merged_at merged_by milestone project_id "
            "reference references sha should_remove_source_branch source_branch source_project_id squash squash_commit_sha state "
            "target_branch target_project_id task_completion_status time_stats title title_html updated_at upvotes user_notes_count "
            "web_url work_in_progress"
        ),
        "notes": (
            "attachment author author.id author.username body commands_changes commit_id confidential created_at id noteable_id "
            "noteable_iid noteable_type position position.new_line position.new_path position.old_line position.old_path resolvable "
            "resolved resolved_at resolved_by system type updated_at"
        ),
        "statuses": (
            "allow_failure author coverage created_at description finished_at id name pipeline_id ref sha started_at status "
            "target_url"
        ),
        "issue": (
            "assignee assignees author closed_at closed_by confidential created_at description discussion_locked downvotes due_date "
            "id iid labels merge_requests_count milestone project_id state task_completion_status time_stats title type updated_at "
            "upvotes user_notes_count web_url"
        ),
        "members": (
            "access_level avatar_url created_at expires_at id name state username web_url"
        ),
    },
    "gitea": {
        "pull": (
            "additions allow_maintainer_edit assignee assignees base base.label base.ref base.repo base.repo_id base.sha body "
            "changed_files closed_at comments created_at deletions diff_url draft due_date head head.label head.ref "
            "head.repo head.repo.full_name "
            "head.repo_id head.sha html_url id is_locked labels merge_base merge_commit_sha mergeable merged merged_at merged_by "
            "milestone number patch_url pin_order requested_reviewers requested_reviewers_teams review_comments state title "
            "updated_at url user"
        ),
        "status": (
            "commit_url repository sha state statuses statuses.context statuses.created_at statuses.creator statuses.description "
            "statuses.id statuses.status statuses.target_url statuses.updated_at statuses.url total_count url"
        ),
        "reviews": (
            "body comments_count commit_id dismissed html_url id official pull_request_url stale state submitted_at team updated_at "
            "user user.id user.login"
        ),
        "review-comments": (
            "body commit_id created_at diff_hunk html_url id original_commit_id original_position path position "
            "pull_request_review_id pull_request_url resolver updated_at user user.id user.login"
        ),
        "comments": (
            "assets body created_at html_url id issue_url original_author original_author_id pull_request_url updated_at user "
            "user.id user.login"
        ),
        "issue": (
            "assets assignee assignees body closed_at comments created_at due_date html_url id is_locked labels milestone number "
            "original_author original_author_id pin_order pull_request ref repository state title updated_at url user user.id "
            "user.login"
        ),
        "permission": (
            "permission role_name user user.id user.login"
        ),
    },
}
