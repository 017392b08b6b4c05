"""What to give where a member of a card is missing, empty or of the wrong kind."""

from __future__ import annotations

from typing import Final

from quorate.cards.shapes import FLAG, FREE, LIST, MAP, TEXT, Field

_GIVE: Final[dict[str, str]] = {
    "AgentCard.name": 'the agent\'s name for people, such as "Route planner"',
    "AgentCard.description": "what the agent does, in a sentence or two",
    "AgentCard.supportedInterfaces": (
        'a list such as [{"url": "https://agents.example.com/a2a", "protocolBinding": '
        '"JSONRPC", "protocolVersion": "1.0"}]'
    ),
    "AgentCard.version": 'the agent\'s own version, such as "1.0.0"',
    "AgentCard.capabilities": 'an object such as {"streaming": false}',
    "AgentCard.defaultInputModes": 'a list of media types, such as ["text/plain"]',
    "AgentCard.defaultOutputModes": 'a list of media types, such as ["application/json"]',
    "AgentCard.skills": "a list of objects with id, name, description and tags",
    "AgentCard.url": 'the address of the agent, such as "https://agents.example.com/a2a"',
    "AgentInterface.url": 'an address such as "https://agents.example.com/a2a"',
    "AgentInterface.protocolBinding": '"JSONRPC", "GRPC" or "HTTP+JSON"',
    "AgentInterface.protocolVersion": 'the version of A2A spoken there, such as "1.0"',
    "AgentInterface.transport": '"JSONRPC", "GRPC" or "HTTP+JSON"',
    "AgentProvider.url": 'the provider\'s web site, such as "https://example.com"',
    "AgentProvider.organization": "the provider's name",
    "AgentSkill.id": 'an id of its own in this card, such as "plan-route"',
    "AgentSkill.name": "the skill's name for people",
    "AgentSkill.description": "what the skill does, in a sentence or two",
    "AgentSkill.tags": 'a list of keywords, such as ["maps", "routing"]',
    "AgentExtension.uri": "the URI that names the extension",
    "AgentExtension.params": "an object, whose members the extension defines",
    "APIKeySecurityScheme.location": '"header", "query" or "cookie"',
    "APIKeySecurityScheme.name": 'the name of the header or parameter, such as "X-API-Key"',
    "apiKey.in": '"header", "query" or "cookie"',
    "apiKey.name": 'the name of the header or parameter, such as "X-API-Key"',
    "HTTPAuthSecurityScheme.scheme": 'the name of an HTTP scheme, such as "Bearer"',
    "http.scheme": 'the name of an HTTP scheme, such as "Bearer"',
    "OAuth2SecurityScheme.flows": 'an object with one flow, such as {"clientCredentials": {…}}',
    "oauth2.flows": 'an object with one flow, such as {"clientCredentials": {…}}',
    "AgentCardSignature.protected": "the protected JWS header in base64url",
    "AgentCardSignature.signature": "the JWS signature in base64url",
}

_BY_MEMBER: Final[dict[str, str]] = {
    "authorizationUrl": 'an address such as "https://auth.example.com/authorize"',
    "tokenUrl": 'an address such as "https://auth.example.com/token"',
    "deviceAuthorizationUrl": 'an address such as "https://auth.example.com/device"',
    "refreshUrl": 'an address such as "https://auth.example.com/refresh"',
    "openIdConnectUrl": (
        'an address such as "https://auth.example.com/.well-known/openid-configuration"'
    ),
    "scopes": 'an object of scopes and what each allows, such as {"read": "look things up"}',
    "type": '"apiKey", "http", "mutualTLS", "oauth2" or "openIdConnect"',
}


def advice(form: str, member: str, field: Field) -> str:
    """What to give for that member, to be put behind "give"."""
    known = _GIVE.get(f"{form}.{member}") or _BY_MEMBER.get(member)
    if known is not None:
        return known
    if field.many == LIST:
        return "a list of texts" if field.kind == TEXT else "a list of objects"
    if field.many == MAP:
        return "an object of named texts" if field.kind == TEXT else "an object of named objects"
    return {TEXT: "a text", FLAG: "true or false", FREE: "an object"}.get(field.kind, "an object")


def kind_of(value: object) -> str:
    """What a JSON value is, for people: with its article, the value where it is short."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {value!r}" if len(repr(value)) <= _LONGEST_NUMBER else "a number"
    if isinstance(value, str):
        return "a text"
    return "a list" if isinstance(value, list) else "an object"


_LONGEST_NUMBER: Final = 24
