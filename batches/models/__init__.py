"""All tables, in one place for Django and for short imports. Invariants are database constraints."""

from batches.models.accounts import (
    ApiToken,
    AuditEvent,
    ClosedTour,
    Installation,
    KeptAnswer,
    Notification,
    PersonalNotifications,
    ProviderIdentity,
    SavedView,
    SecondStep,
    SettingChange,
    SignInFailure,
)
from batches.models.batches import Batch, Conflict, Gate, LinearIssue, Phase, Stage
from batches.models.choices import GateWhen, Network, OnConflict, Scheduling
from batches.models.comments import DiffComment, ViewedFile
from batches.models.facts import AttemptFact, RunFact, StageFact
from batches.models.gates import GateCheck, GateOpinion, SignOff, Verification
from batches.models.ideas import Idea, IdeaAttempt
from batches.models.plans import Plan, PlanDecision
from batches.models.projects import Membership, Project, ProjectSecret, check_agent_command
from batches.models.pull_requests import PullRequest, PullRequestRemark
from batches.models.reviews import BaseMerge, ContextChange, Finding, Review
from batches.models.runs import Attempt, AttemptPrompt, AutopilotRun, Host, PredictedConflict, Result, Run, Task, Transition

__all__ = [
    "ApiToken",
    "Attempt",
    "AttemptFact",
    "AttemptPrompt",
    "AuditEvent",
    "AutopilotRun",
    "BaseMerge",
    "Batch",
    "ClosedTour",
    "Conflict",
    "ContextChange",
    "DiffComment",
    "Finding",
    "Gate",
    "GateCheck",
    "GateOpinion",
    "GateWhen",
    "Host",
    "Idea",
    "IdeaAttempt",
    "Installation",
    "KeptAnswer",
    "LinearIssue",
    "Membership",
    "Network",
    "Notification",
    "OnConflict",
    "PersonalNotifications",
    "Phase",
    "Plan",
    "PlanDecision",
    "PredictedConflict",
    "Project",
    "ProjectSecret",
    "ProviderIdentity",
    "PullRequest",
    "PullRequestRemark",
    "Result",
    "Review",
    "Run",
    "RunFact",
    "SavedView",
    "Scheduling",
    "SecondStep",
    "SettingChange",
    "SignInFailure",
    "SignOff",
    "Stage",
    "StageFact",
    "Task",
    "Transition",
    "Verification",
    "ViewedFile",
    "check_agent_command",
]
