"""`interlock`, but with what the conformance suite asks for in place of the operators' profile.

Mount, gate, transport and the errors' way are the product's; only what is offered is not. Nothing of the product knows
of this: it is begun as `python -m tests.mcp.suite_server serve`.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

import mcp_types as types

from interlock.cli.main import main
from interlock.http import application
from interlock.mcp.errors import NoSuchPrompt, NoSuchResource, NoSuchTool
from interlock.mcp.mounted import Mounted
from interlock.mcp.server import Context, Profile, refusing

_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
_WAV = base64.b64encode(b"RIFF$\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0@\x1f\0\0\x80>\0\0\2\0\x10\0data\0\0\0\0").decode()
_TEXT = types.TextContent(text="This is a simple text response for testing.")
_IMAGE = types.ImageContent(data=_PNG, mime_type="image/png")
_AUDIO = types.AudioContent(data=_WAV, mime_type="audio/wav")
_ERROR = types.TextContent(text="This tool intentionally returns an error for testing")


def _embedded(uri: str) -> types.EmbeddedResource:
    held = types.TextResourceContents(uri=uri, mime_type="text/plain", text="Embedded resource content for testing.")
    return types.EmbeddedResource(resource=held)


_ANSWERS: Mapping[str, types.CallToolResult] = {
    "test_simple_text": types.CallToolResult(content=[_TEXT]),
    "test_image_content": types.CallToolResult(content=[_IMAGE]),
    "test_audio_content": types.CallToolResult(content=[_AUDIO]),
    "test_embedded_resource": types.CallToolResult(content=[_embedded("test://embedded-resource")]),
    "test_multiple_content_types": types.CallToolResult(content=[_TEXT, _IMAGE, _embedded("test://mixed")]),
    # Our own tools never answer so: a refusal of theirs is an error of the protocol (docs/decisions/0015-mcp.md).
    "test_error_handling": types.CallToolResult(content=[_ERROR], is_error=True),
    "test_tool_with_progress": types.CallToolResult(content=[_TEXT]),
    "json_schema_2020_12_tool": types.CallToolResult(content=[_TEXT]),
}
_SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "json_schema_2020_12_tool": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {"address": {"type": "object", "properties": {"street": {"type": "string"}}}},
        "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"}},
        "additionalProperties": False,
    }
}
_PROMPTS: Mapping[str, tuple[str, ...]] = {
    "test_simple_prompt": (),
    "test_prompt_with_arguments": ("arg1", "arg2"),
    "test_prompt_with_embedded_resource": ("resourceUri",),
    "test_prompt_with_image": (),
}
_RESOURCES: Mapping[str, types.TextResourceContents | types.BlobResourceContents] = {
    "test://static-text": types.TextResourceContents(
        uri="test://static-text", mime_type="text/plain", text="This is the content of the static text resource."
    ),
    "test://static-binary": types.BlobResourceContents(uri="test://static-binary", mime_type="image/png", blob=_PNG),
}


class Suite(Profile):
    """The suite's own tools, prompts and resources."""

    def input_schema(self, name: str) -> Mapping[str, Any] | None:
        return _SCHEMAS.get(name, {"type": "object"}) if name in _ANSWERS else None

    async def list_tools(self, context: Context, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        del context, params
        shown = [
            types.Tool(name=name, description="One of the suite's.", input_schema=dict(self.input_schema(name) or {}))
            for name in _ANSWERS
        ]
        return types.ListToolsResult(tools=shown)

    async def call_tool(self, context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        async with refusing(self.callers(context), "tools/call"):
            if params.name not in _ANSWERS:
                raise NoSuchTool
            if params.name == "test_tool_with_progress":
                for done in (0, 50, 100):
                    await context.session.report_progress(done, 100)
            return _ANSWERS[params.name]

    async def list_resources(
        self, context: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        del context, params
        return types.ListResourcesResult(resources=[types.Resource(uri=uri, name=uri) for uri in _RESOURCES])

    async def list_templates(
        self, context: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        del context, params
        template = types.ResourceTemplate(uri_template="test://template/{id}/data", name="template")
        return types.ListResourceTemplatesResult(resource_templates=[template])

    async def read_resource(
        self, context: Context, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        async with refusing(self.callers(context), "resources/read"):
            begin, _, rest = params.uri.partition("test://template/")
            if not begin and rest.endswith("/data"):
                text = json.dumps({"id": rest.removesuffix("/data"), "templateTest": True})
                return types.ReadResourceResult(contents=[types.TextResourceContents(uri=params.uri, text=text)])
            if params.uri not in _RESOURCES:
                raise NoSuchResource
            return types.ReadResourceResult(contents=[_RESOURCES[params.uri]])

    async def list_prompts(
        self, context: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListPromptsResult:
        del context, params
        return types.ListPromptsResult(
            prompts=[
                types.Prompt(
                    name=name,
                    description="One of the suite's.",
                    arguments=[types.PromptArgument(name=each, required=True) for each in asked],
                )
                for name, asked in _PROMPTS.items()
            ]
        )

    async def get_prompt(self, context: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        async with refusing(self.callers(context), "prompts/get"):
            if params.name not in _PROMPTS:
                raise NoSuchPrompt
            given = params.arguments or {}
            said: list[types.ContentBlock] = [types.TextContent(text=f"Prompt with {json.dumps(given)}")]
            if params.name == "test_prompt_with_embedded_resource":
                said.append(_embedded(given["resourceUri"]))
            if params.name == "test_prompt_with_image":
                said.append(_IMAGE)
            return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=each) for each in said])

    async def complete(self, context: Context, params: types.CompleteRequestParams) -> types.CompleteResult:
        del context, params
        return types.CompleteResult(completion=types.Completion(values=[], total=0, has_more=False))


if __name__ == "__main__":
    application.Mounted = partial(Mounted, profile=lambda: Suite)
    sys.exit(main())
