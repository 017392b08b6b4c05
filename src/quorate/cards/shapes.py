"""The forms of agent cards, as tables: which members there are, and of what kind.

They say what the official SDK's types say (``a2a.types.AgentCard`` and
``a2a.compat.v0_3.types.AgentCard``), and a test compares the two. They stand here as data so
that a sealed verdict can be computed again by who has no SDK, or another version of it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

TEXT: Final = "text"
FLAG: Final = "flag"
FREE: Final = "free"
"""An object of any form."""

ONE: Final = ""
LIST: Final = "list"
MAP: Final = "map"

ANY_NAME: Final = "*"
"""Stands for every member of an object whose members are named by who writes it."""


class Field(NamedTuple):
    """One member of an object.

    Attributes:
        kind: ``TEXT``, ``FLAG``, ``FREE``, or the name of another form.
        many: ``ONE`` of it, a ``LIST``, or a ``MAP`` from names to it.
        required: it has to be there.
        presence: absent and empty (or false) are told apart, so a signature covers which.
    """

    kind: str
    many: str = ONE
    required: bool = False
    presence: bool = False


Form = dict[str, Field]

_TOKEN_FLOW: Final[Form] = {
    "tokenUrl": Field(TEXT, required=True),
    "refreshUrl": Field(TEXT),
    "scopes": Field(TEXT, MAP, required=True),
}
_PROVIDER: Final[Form] = {
    "url": Field(TEXT, required=True),
    "organization": Field(TEXT, required=True),
}
_SIGNATURE: Final[Form] = {
    "protected": Field(TEXT, required=True),
    "signature": Field(TEXT, required=True),
    "header": Field(FREE),
}
_SKILL: Final[Form] = {
    "id": Field(TEXT, required=True),
    "name": Field(TEXT, required=True),
    "description": Field(TEXT, required=True),
    "tags": Field(TEXT, LIST, required=True),
    "examples": Field(TEXT, LIST),
    "inputModes": Field(TEXT, LIST),
    "outputModes": Field(TEXT, LIST),
}

FORMS_1_0: Final[dict[str, Form]] = {
    "AgentCard": {
        "name": Field(TEXT, required=True),
        "description": Field(TEXT, required=True),
        "supportedInterfaces": Field("AgentInterface", LIST, required=True),
        "provider": Field("AgentProvider"),
        "version": Field(TEXT, required=True),
        "documentationUrl": Field(TEXT, presence=True),
        "capabilities": Field("AgentCapabilities", required=True),
        "securitySchemes": Field("SecurityScheme", MAP),
        "securityRequirements": Field("SecurityRequirement", LIST),
        "defaultInputModes": Field(TEXT, LIST, required=True),
        "defaultOutputModes": Field(TEXT, LIST, required=True),
        "skills": Field("AgentSkill", LIST, required=True),
        "signatures": Field("AgentCardSignature", LIST),
        "iconUrl": Field(TEXT, presence=True),
    },
    "AgentInterface": {
        "url": Field(TEXT, required=True),
        "protocolBinding": Field(TEXT, required=True),
        "tenant": Field(TEXT),
        "protocolVersion": Field(TEXT, required=True),
    },
    "AgentProvider": _PROVIDER,
    "AgentCapabilities": {
        "streaming": Field(FLAG, presence=True),
        "pushNotifications": Field(FLAG, presence=True),
        "extensions": Field("AgentExtension", LIST),
        "extendedAgentCard": Field(FLAG, presence=True),
    },
    "AgentExtension": {
        "uri": Field(TEXT),
        "description": Field(TEXT),
        "required": Field(FLAG),
        "params": Field(FREE),
    },
    "SecurityScheme": {
        "apiKeySecurityScheme": Field("APIKeySecurityScheme"),
        "httpAuthSecurityScheme": Field("HTTPAuthSecurityScheme"),
        "oauth2SecurityScheme": Field("OAuth2SecurityScheme"),
        "openIdConnectSecurityScheme": Field("OpenIdConnectSecurityScheme"),
        "mtlsSecurityScheme": Field("MutualTlsSecurityScheme"),
    },
    "APIKeySecurityScheme": {
        "description": Field(TEXT),
        "location": Field(TEXT, required=True),
        "name": Field(TEXT, required=True),
    },
    "HTTPAuthSecurityScheme": {
        "description": Field(TEXT),
        "scheme": Field(TEXT, required=True),
        "bearerFormat": Field(TEXT),
    },
    "OAuth2SecurityScheme": {
        "description": Field(TEXT),
        "flows": Field("OAuthFlows", required=True),
        "oauth2MetadataUrl": Field(TEXT),
    },
    "OAuthFlows": {
        "authorizationCode": Field("AuthorizationCodeOAuthFlow"),
        "clientCredentials": Field("ClientCredentialsOAuthFlow"),
        "implicit": Field("ImplicitOAuthFlow"),
        "password": Field("PasswordOAuthFlow"),
        "deviceCode": Field("DeviceCodeOAuthFlow"),
    },
    "AuthorizationCodeOAuthFlow": {
        "authorizationUrl": Field(TEXT, required=True),
        **_TOKEN_FLOW,
        "pkceRequired": Field(FLAG),
    },
    "ClientCredentialsOAuthFlow": _TOKEN_FLOW,
    "ImplicitOAuthFlow": {
        "authorizationUrl": Field(TEXT),
        "refreshUrl": Field(TEXT),
        "scopes": Field(TEXT, MAP),
    },
    "PasswordOAuthFlow": {
        "tokenUrl": Field(TEXT),
        "refreshUrl": Field(TEXT),
        "scopes": Field(TEXT, MAP),
    },
    "DeviceCodeOAuthFlow": {
        "deviceAuthorizationUrl": Field(TEXT, required=True),
        **_TOKEN_FLOW,
    },
    "OpenIdConnectSecurityScheme": {
        "description": Field(TEXT),
        "openIdConnectUrl": Field(TEXT, required=True),
    },
    "MutualTlsSecurityScheme": {"description": Field(TEXT)},
    "SecurityRequirement": {"schemes": Field("StringList", MAP)},
    "StringList": {"list": Field(TEXT, LIST)},
    "AgentSkill": {
        **_SKILL,
        "securityRequirements": Field("SecurityRequirement", LIST),
    },
    "AgentCardSignature": _SIGNATURE,
}

CHOICES_1_0: Final = frozenset({"SecurityScheme", "OAuthFlows"})
"""Forms of which exactly one member is given."""

FORMS_0_3: Final[dict[str, Form]] = {
    "AgentCard": {
        "additionalInterfaces": Field("AgentInterface", LIST),
        "capabilities": Field("AgentCapabilities", required=True),
        "defaultInputModes": Field(TEXT, LIST, required=True),
        "defaultOutputModes": Field(TEXT, LIST, required=True),
        "description": Field(TEXT, required=True),
        "documentationUrl": Field(TEXT),
        "iconUrl": Field(TEXT),
        "name": Field(TEXT, required=True),
        "preferredTransport": Field(TEXT),
        "protocolVersion": Field(TEXT),
        "provider": Field("AgentProvider"),
        "security": Field("SecurityNeeds", LIST),
        "securitySchemes": Field("SecurityScheme", MAP),
        "signatures": Field("AgentCardSignature", LIST),
        "skills": Field("AgentSkill", LIST, required=True),
        "supportsAuthenticatedExtendedCard": Field(FLAG),
        "url": Field(TEXT, required=True),
        "version": Field(TEXT, required=True),
    },
    "AgentInterface": {
        "transport": Field(TEXT, required=True),
        "url": Field(TEXT, required=True),
    },
    "AgentProvider": _PROVIDER,
    "AgentCapabilities": {
        "extensions": Field("AgentExtension", LIST),
        "pushNotifications": Field(FLAG),
        "stateTransitionHistory": Field(FLAG),
        "streaming": Field(FLAG),
    },
    "AgentExtension": {
        "description": Field(TEXT),
        "params": Field(FREE),
        "required": Field(FLAG),
        "uri": Field(TEXT, required=True),
    },
    "apiKey": {
        "description": Field(TEXT),
        "in": Field(TEXT, required=True),
        "name": Field(TEXT, required=True),
        "type": Field(TEXT, required=True),
    },
    "http": {
        "bearerFormat": Field(TEXT),
        "description": Field(TEXT),
        "scheme": Field(TEXT, required=True),
        "type": Field(TEXT, required=True),
    },
    "oauth2": {
        "description": Field(TEXT),
        "flows": Field("OAuthFlows", required=True),
        "oauth2MetadataUrl": Field(TEXT),
        "type": Field(TEXT, required=True),
    },
    "openIdConnect": {
        "description": Field(TEXT),
        "openIdConnectUrl": Field(TEXT, required=True),
        "type": Field(TEXT, required=True),
    },
    "mutualTLS": {
        "description": Field(TEXT),
        "type": Field(TEXT, required=True),
    },
    "OAuthFlows": {
        "authorizationCode": Field("AuthorizationCodeOAuthFlow"),
        "clientCredentials": Field("ClientCredentialsOAuthFlow"),
        "implicit": Field("ImplicitOAuthFlow"),
        "password": Field("PasswordOAuthFlow"),
    },
    "AuthorizationCodeOAuthFlow": {
        "authorizationUrl": Field(TEXT, required=True),
        **_TOKEN_FLOW,
    },
    "ClientCredentialsOAuthFlow": _TOKEN_FLOW,
    "ImplicitOAuthFlow": {
        "authorizationUrl": Field(TEXT, required=True),
        "refreshUrl": Field(TEXT),
        "scopes": Field(TEXT, MAP, required=True),
    },
    "PasswordOAuthFlow": _TOKEN_FLOW,
    "SecurityNeeds": {ANY_NAME: Field(TEXT, LIST)},
    "AgentSkill": {**_SKILL, "security": Field("SecurityNeeds", LIST)},
    "AgentCardSignature": _SIGNATURE,
}

TYPES_0_3: Final = ("apiKey", "http", "mutualTLS", "oauth2", "openIdConnect")
"""Values of ``type`` of a security scheme, each the name of a form."""

BESIDE_1_0: Final[dict[str, frozenset[str]]] = {
    "AgentCard": frozenset({
        "additionalInterfaces", "preferredTransport", "protocolVersion", "security",
        "supportsAuthenticatedExtendedCard", "url",
    }),
    "AgentSkill": frozenset({"security"}),
    "AgentCapabilities": frozenset({"stateTransitionHistory"}),
    "SecurityScheme": frozenset({
        "bearerFormat", "description", "flows", "in", "name", "oauth2MetadataUrl",
        "openIdConnectUrl", "scheme", "type",
    }),
}  # fmt: skip
"""Members of 0.3 that servers of both versions put beside those of 1.0, in one card."""
