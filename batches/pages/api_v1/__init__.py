"""Version 1 of the JSON API (docs/api.md): typed, described by a document of its own. The work is done by `batches.pages.api*`."""
