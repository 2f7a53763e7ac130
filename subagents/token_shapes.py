"""What keys and tokens of well-known services look like: for the gate on secrets and for the mask of all that is stored.

The patterns follow the published rules of detect-secrets and gitleaks. One is compiled only when one of its words is in the text.
"""

from __future__ import annotations

import re
from functools import cache

# (what it is, words of which the text must hold one, the pattern; a group is the secret itself)
TOKENS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("an Anthropic key", ("sk-ant-",), r"\bsk-ant-[a-z0-9]+-[\w-]{32,}"),
    ("an OpenAI key", ("sk-",), r"\bsk-(?!ant-)(?:(?:proj|svcacct|admin)-[\w-]{20,}|[A-Za-z0-9]{40,}\b)"),
    ("a GitHub token", ("gh", "github_pat_"), r"\b(?:gh[opsur]_[A-Za-z0-9]{36,}|github_pat_\w{60,})"),
    ("a GitLab token", ("gl",), r"\bgl(?:pat|ptt|dt|rt|cbt|ft|soat)-[\w-]{20,}"),
    ("an AWS key id", ("AKIA", "ASIA"), r"\bA[KS]IA[A-Z2-7]{16}\b"),
    ("an AWS secret key", ("aws", "AWS"), r"""(?i)aws\w{0,20}(?:secret|key)\w{0,20}["']?\s{0,3}[=:]\s{0,3}["']?([A-Za-z0-9/+]{40})\b"""),
    ("a Google API key", ("AIza",), r"\bAIza[\w-]{35}"),
    ("a Google client secret", ("GOCSPX-",), r"\bGOCSPX-[\w-]{28}"),
    ("a Slack token", ("xox", "xapp-"), r"\b(?:xox[abeoprs]-[\w-]{10,}|xapp-\d-[\w-]{20,})"),
    ("the address of a Slack webhook", ("hooks.slack.com",), r"hooks\.slack\.com/(?:services|workflows)/\w+/\w+/\w{20,}"),
    ("the address of a Discord webhook", ("/api/webhooks/",), r"discord(?:app)?\.com/api/webhooks/\d{17,}/[\w-]{60,}"),
    ("a Stripe key", ("k_live_",), r"\b[sr]k_live_[A-Za-z0-9]{20,}"),
    ("a SendGrid key", ("SG.",), r"\bSG\.[\w-]{22}\.[\w-]{43}"),
    ("an npm token", ("npm_",), r"\bnpm_[A-Za-z0-9]{36}\b"),
    ("a PyPI token", ("pypi-AgE",), r"\bpypi-AgE[\w-]{50,}"),
    ("a Hugging Face token", ("hf_",), r"\bhf_[A-Za-z0-9]{34,}\b"),
    ("a Twilio key", ("SK",), r"\bSK[0-9a-f]{32}\b"),
    ("a Telegram bot token", (":AA",), r"\b\d{8,10}:AA[\w-]{32,33}\b"),
    ("an Azure storage key", ("AccountKey=",), r"AccountKey=[A-Za-z0-9+/]{86}=="),
    ("a DigitalOcean token", ("_v1_",), r"\bdo[opr]_v1_[a-f0-9]{64}\b"),
    ("a Shopify token", ("shp",), r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b"),
    ("a Docker token", ("dckr_",), r"\bdckr_(?:pat|oat)_[\w-]{27,}"),
    ("a Databricks token", ("dapi",), r"\bdapi[a-f0-9]{32}\b"),
    ("a Linear key", ("lin_api_",), r"\blin_api_[A-Za-z0-9]{40}\b"),
    ("a Grafana token", ("glsa_",), r"\bglsa_[A-Za-z0-9]{32}_[a-f0-9]{8}\b"),
    ("a Vault token", ("hvs.", "hvb."), r"\bhv[sb]\.[\w-]{24,}"),
    ("a Sentry token", ("sntrys_",), r"\bsntrys_[\w+/=-]{60,}"),
    ("an age key", ("AGE-SECRET-KEY-",), r"\bAGE-SECRET-KEY-1[A-Z0-9]{58}\b"),
    ("a JSON web token", ("eyJ",), r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}"),
)


def token_shapes(text: str) -> list[tuple[str, re.Pattern[str]]]:
    """(what it is, its pattern) of each kind that the text may hold. A group of a pattern is the secret itself."""
    return [(what, _compiled(pattern)) for what, words, pattern in TOKENS if any(word in text for word in words)]


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
