"""The tools, resources and prompts as the official SDK serves them; `ask` is asked in the thread of the caller."""

import json
from collections.abc import Mapping
from typing import Any

from asgiref.sync import sync_to_async
from mcp import types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError

from ce_web.mcp.tools import BY_NAME, PROMPTS, RESOURCES, TOOLS, Ask, ToolRefused, read_resource

Context = ServerRequestContext[Any]
INSTRUCTIONS = (
    "CE Web carries out plans in markdown, stage by stage, by supervised agents over a git repository. A plan becomes a "
    "batch, whose phases are executed and judged by gates. Only a gate that passed is green. Ask a person before you "
    "execute, retry, stop or answer."
)
INVALID_PARAMS = -32602


def make_server(ask: Ask) -> Server[Any]:
    """A server whose tools ask the API by `ask`."""

    async def list_tools(_ctx: Context, _params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(
            tools=[
                types.Tool(
                    name=tool.name,
                    description=f"{tool.title}.",
                    input_schema=tool.schema,
                    annotations=types.ToolAnnotations(title=tool.title, read_only_hint=tool.reads),
                )
                for tool in TOOLS
            ]
        )

    async def call_tool(_ctx: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        tool = BY_NAME.get(params.name)
        if tool is None:
            raise MCPError(INVALID_PARAMS, f"There is no tool {params.name}.")
        try:
            found = await sync_to_async(tool.call)(ask, params.arguments or {})
        except ToolRefused as refusal:
            return types.CallToolResult(content=[types.TextContent(type="text", text=str(refusal))], is_error=True)
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=_json(found))], structured_content=found
        )

    async def list_resources(_ctx: Context, _params: types.PaginatedRequestParams | None) -> types.ListResourcesResult:
        plain = {uri: title for uri, (title, _path) in RESOURCES.items() if "{" not in uri}
        return types.ListResourcesResult(
            resources=[
                types.Resource(uri=uri, name=title, mime_type="application/json") for uri, title in plain.items()
            ]
        )

    async def list_templates(
        _ctx: Context, _params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        named = {uri: title for uri, (title, _path) in RESOURCES.items() if "{" in uri}
        return types.ListResourceTemplatesResult(
            resource_templates=[
                types.ResourceTemplate(uri_template=uri, name=title, mime_type="application/json")
                for uri, title in named.items()
            ]
        )

    async def read(_ctx: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        try:
            found = await sync_to_async(read_resource)(ask, str(params.uri))
        except ToolRefused as refusal:
            raise MCPError(INVALID_PARAMS, str(refusal)) from None
        contents = types.TextResourceContents(uri=params.uri, mime_type="application/json", text=_json(found))
        return types.ReadResourceResult(contents=[contents])

    async def list_prompts(_ctx: Context, _params: types.PaginatedRequestParams | None) -> types.ListPromptsResult:
        return types.ListPromptsResult(
            prompts=[
                types.Prompt(
                    name=name,
                    title=one.title,
                    description=f"{one.title}.",
                    arguments=[
                        types.PromptArgument(name=key, description=words, required=True)
                        for key, words in one.arguments.items()
                    ],
                )
                for name, one in PROMPTS.items()
            ]
        )

    async def get_prompt(_ctx: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        one, given = PROMPTS.get(params.name), params.arguments or {}
        if one is None or set(given) != set(one.arguments):
            raise MCPError(
                INVALID_PARAMS, f"There is no prompt {params.name} with the arguments {', '.join(given) or 'none'}."
            )
        content = types.TextContent(type="text", text=one.text.format(**given))
        return types.GetPromptResult(
            description=f"{one.title}.", messages=[types.PromptMessage(role="user", content=content)]
        )

    return Server(
        "ce-web",
        version="0.2.0",
        title="CE Web",
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read,
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
    )


def _json(found: Mapping[str, Any]) -> str:
    return json.dumps(found, ensure_ascii=False)


async def serve_stdio(ask: Ask) -> None:
    """Serve whoever started this process, by its standard input and output, until they end."""
    from mcp.server.stdio import stdio_server

    server = make_server(ask)
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())
