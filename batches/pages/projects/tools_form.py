"""The form of a project's tools for agents: servers, names of tools, the web."""

from django import forms

from batches.models import Project
from batches.pages.forms import Described
from batches.pages.projects.fields import stripped_lines
from subagents.agent_tools import MOST_RULES, fault_of_rule
from subagents.allowed_hosts import allowed_host, is_allowed, plain_host
from subagents.mcp_servers import ToolServer, read_servers

MCP_EXAMPLE = """{
  "tracker": {"url": "https://tracker.example.org/mcp", "headers": {"Authorization": "Bearer ${TRACKER_TOKEN}"}},
  "browser": {"command": "/opt/mcp/browser", "args": ["--headless"], "env": {"KEY": "${BROWSER_KEY}"}}
}"""


class ProjectTools(Described, forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """What Claude may use in a phase, besides what it is given anyway."""

    class Meta:
        model = Project
        fields = ["mcp_servers", "allowed_tools", "denied_tools", "skills", "subagents", "web_search", "web_fetch"]
        widgets = {
            "mcp_servers": forms.Textarea(attrs={"rows": 8, "class": "mono", "placeholder": MCP_EXAMPLE, "spellcheck": "false"}),
            "allowed_tools": forms.Textarea(attrs={"rows": 3, "class": "mono", "spellcheck": "false"}),
            "denied_tools": forms.Textarea(attrs={"rows": 3, "class": "mono", "spellcheck": "false"}),
        }
        labels = {
            "mcp_servers": "MCP servers",
            "allowed_tools": "Allowed tools",
            "denied_tools": "Denied tools",
            "skills": "Skills of the repository",
            "subagents": "Subagents",
            "web_search": "Search the web",
            "web_fetch": "Fetch pages",
        }
        help_texts = {
            "mcp_servers": "As in .mcp.json. A program is started in the sandbox; an address is asked by CE Web. A secret is written "
            "${NAME} and kept on the page Environment. An attempt fails when a server does not work, unless it has “required”: false.",
            "allowed_tools": "One per line, such as Bash or mcp__tracker__search. Where the program's tools are named, it has only "
            "those; where a server's are named, it has only those of that server. Empty: all.",
            "denied_tools": "Such as WebFetch, Bash(git push:*) or mcp__tracker__delete_*. A denial wins.",
            "skills": "Those in .claude/skills, as they are in the commit that a batch begins with.",
            "subagents": "Those in .claude/agents, and Claude's own. Each counts for the phase's limits.",
            "web_search": "The provider searches, and charges for each search. No network is needed here.",
            "web_fetch": "From the sandbox: the project's network settings must let it.",
        }

    @property
    def switches(self) -> list[forms.BoundField]:
        return [self[name] for name in ("skills", "subagents", "web_search", "web_fetch")]

    def clean_mcp_servers(self) -> str:
        """The text, if its servers can be read, may be reached and get their secrets."""
        text = str(self.cleaned_data["mcp_servers"]).replace("\r", "").strip()
        try:
            servers = read_servers(text)
        except ValueError as fault:
            raise forms.ValidationError(str(fault)) from None
        given = set(self.instance.secrets.filter(servers=True).values_list("name", flat=True))
        hosts = [allowed_host(line) for line in stripped_lines(self.instance.allowed_hosts)]
        for server in servers:
            if missing := [name for name in server.secrets if name not in given]:
                said = f"{server.name} asks for the secret {missing[0]}: store it first, on the page Environment, for MCP servers."
                raise forms.ValidationError(said)
            host, port = server.host
            if hosts and host and not is_allowed(plain_host(host) or host, port, hosts):
                raise forms.ValidationError(f"{server.name}: {host}:{port} is not among the project's allowed hosts; add it there.")
        return text

    def clean(self) -> dict[str, object]:
        """The lists name tools that there are, and pages can be fetched only with the network."""
        cleaned: dict[str, object] = super().clean() or {}
        servers: list[ToolServer] = [] if "mcp_servers" in self.errors else read_servers(str(cleaned.get("mcp_servers", "")))
        for name in ("allowed_tools", "denied_tools"):
            lines = stripped_lines(str(cleaned.get(name, "")))
            for number, line in enumerate(lines, start=1):
                names = [server.name for server in servers]
                fault = fault_of_rule(line, names, patterns=name == "denied_tools")
                if fault and not ("mcp_servers" in self.errors and line.startswith("mcp__")):
                    self.add_error(name, f"Line {number}, {line[:100]}: {fault}.")
                    break
            if len(lines) > MOST_RULES:
                self.add_error(name, f"These are {len(lines)} lines; at most {MOST_RULES} are allowed.")
            cleaned[name] = "\n".join(lines)
        if cleaned.get("web_fetch") and self.instance.network == "none":
            self.add_error("web_fetch", "The sandbox has no network: set “Network access for” in the project's settings first.")
        return cleaned
