"""The MCP server (docs/mcp.md): agents read and steer batches by tools, each of which is one call of the API."""
