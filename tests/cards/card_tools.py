"""Cards to test with: one of each version with every member that A2A has, and small ones."""

import copy
import json
from typing import Any

FLOW = {
    "tokenUrl": "https://auth.example.com/token",
    "refreshUrl": "https://auth.example.com/refresh",
    "scopes": {"read": "look things up", "plan": "plan routes"},
}

FULL_1_0: dict[str, Any] = {
    "name": "GeoSpatial Route Planner",
    "description": "Plans routes, and says what traffic does to them.",
    "supportedInterfaces": [
        {
            "url": "https://georoute.example.com/a2a/v1",
            "protocolBinding": "JSONRPC",
            "protocolVersion": "1.0",
        },
        {
            "url": "https://georoute.example.com/a2a/grpc",
            "protocolBinding": "GRPC",
            "protocolVersion": "1.0",
            "tenant": "europe",
        },
        {
            "url": "https://georoute.example.com/a2a/json",
            "protocolBinding": "HTTP+JSON",
            "protocolVersion": "1.0",
        },
    ],
    "provider": {"organization": "Example Geo", "url": "https://www.example.com"},
    "version": "1.2.0",
    "documentationUrl": "https://docs.example.com/georoute",
    "iconUrl": "https://georoute.example.com/icon.png",
    "capabilities": {
        "streaming": True,
        "pushNotifications": False,
        "extendedAgentCard": True,
        "extensions": [
            {
                "uri": "https://example.com/ext/units/v1",
                "description": "Says in which units it answers.",
                "required": False,
                "params": {"units": ["km", "mi"], "default": {"unit": "km", "digits": 1.5}},
            }
        ],
    },
    "securitySchemes": {
        "google": {
            "openIdConnectSecurityScheme": {
                "description": "Accounts of people.",
                "openIdConnectUrl": "https://accounts.example.com/.well-known/openid-configuration",
            }
        },
        "key": {"apiKeySecurityScheme": {"location": "header", "name": "X-API-Key"}},
        "bearer": {"httpAuthSecurityScheme": {"scheme": "Bearer", "bearerFormat": "JWT"}},
        "machines": {
            "oauth2SecurityScheme": {
                "flows": {"clientCredentials": FLOW},
                "oauth2MetadataUrl": "https://auth.example.com/.well-known/oauth",
            }
        },
        "devices": {
            "oauth2SecurityScheme": {
                "flows": {
                    "deviceCode": {
                        "deviceAuthorizationUrl": "https://auth.example.com/device",
                        **FLOW,
                    }
                }
            }
        },
        "people": {
            "oauth2SecurityScheme": {
                "flows": {
                    "authorizationCode": {
                        "authorizationUrl": "https://auth.example.com/authorize",
                        "pkceRequired": True,
                        **FLOW,
                    }
                }
            }
        },
        "mtls": {"mtlsSecurityScheme": {"description": "A certificate of ours."}},
    },
    "securityRequirements": [
        {"schemes": {"google": {"list": ["openid", "email"]}}},
        {"schemes": {"key": {"list": []}, "mtls": {"list": []}}},
        {"schemes": {"bearer": {}}},
        {"schemes": {"machines": {"list": ["read"]}, "devices": {}, "people": {}}},
    ],
    "defaultInputModes": ["application/json", "text/plain"],
    "defaultOutputModes": ["application/json", "image/png"],
    "skills": [
        {
            "id": "route-optimizer-traffic",
            "name": "Traffic-aware route optimizer",
            "description": "The best route between two places, by the traffic of the hour.",
            "tags": ["maps", "routing", "traffic"],
            "examples": ["Plan a route from A to B.", '{"from": "A", "to": "B"}'],
            "inputModes": ["application/json", "text/plain"],
            "outputModes": ["application/vnd.geo+json", "text/html; charset=utf-8"],
            "securityRequirements": [{"schemes": {"machines": {"list": ["plan"]}}}],
        },
        {
            "id": "custom-map-generator",
            "name": "Map maker",
            "description": "Draws a map with your own marks on it.",
            "tags": ["maps"],
        },
    ],
}

FULL_0_3: dict[str, Any] = {
    "protocolVersion": "0.3.0",
    "name": "GeoSpatial Route Planner",
    "description": "Plans routes, and says what traffic does to them.",
    "url": "https://georoute.example.com/a2a/v1",
    "preferredTransport": "JSONRPC",
    "additionalInterfaces": [
        {"url": "https://georoute.example.com/a2a/v1", "transport": "JSONRPC"},
        {"url": "https://georoute.example.com/a2a/grpc", "transport": "GRPC"},
        {"url": "https://georoute.example.com/a2a/json", "transport": "HTTP+JSON"},
    ],
    "provider": {"organization": "Example Geo", "url": "https://www.example.com"},
    "iconUrl": "https://georoute.example.com/icon.png",
    "version": "1.2.0",
    "documentationUrl": "https://docs.example.com/georoute",
    "supportsAuthenticatedExtendedCard": True,
    "capabilities": {
        "streaming": True,
        "pushNotifications": True,
        "stateTransitionHistory": False,
        "extensions": [{"uri": "https://example.com/ext/units/v1", "params": {"units": ["km"]}}],
    },
    "securitySchemes": {
        "google": {
            "type": "openIdConnect",
            "openIdConnectUrl": "https://accounts.example.com/.well-known/openid-configuration",
        },
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        "bearer": {"type": "http", "scheme": "Bearer", "bearerFormat": "JWT"},
        "machines": {"type": "oauth2", "flows": {"clientCredentials": FLOW}},
        "mtls": {"type": "mutualTLS"},
    },
    "security": [
        {"google": ["openid"]},
        {"key": [], "mtls": []},
        {"bearer": []},
        {"machines": ["read"]},
    ],
    "defaultInputModes": ["application/json", "text/plain"],
    "defaultOutputModes": ["application/json", "image/png"],
    "skills": [
        {
            "id": "route-optimizer-traffic",
            "name": "Traffic-aware route optimizer",
            "description": "The best route between two places, by the traffic of the hour.",
            "tags": ["maps", "routing", "traffic"],
            "examples": ["Plan a route from A to B."],
            "inputModes": ["application/json"],
            "outputModes": ["text/plain"],
            "security": [{"machines": ["plan"]}],
        }
    ],
}


def small(**changes: Any) -> dict[str, Any]:
    """A small valid card of 1.0 that says who may use it."""
    card: dict[str, Any] = {
        "name": "Judge",
        "description": "Judges.",
        "supportedInterfaces": [
            {
                "url": "https://judge.example.com/a2a",
                "protocolBinding": "JSONRPC",
                "protocolVersion": "1.0",
            }
        ],
        "version": "1.0.0",
        "capabilities": {},
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": [{"id": "judge", "name": "Judge", "description": "Judges.", "tags": ["law"]}],
        "securitySchemes": {"bearer": {"httpAuthSecurityScheme": {"scheme": "Bearer"}}},
        "securityRequirements": [{"schemes": {"bearer": {"list": []}}}],
    }
    return {**card, **changes}


def changed(card: dict[str, Any], path: str, value: Any = ...) -> dict[str, Any]:
    """A copy with one value put elsewhere, such as at ``skills.0.id``; left out without one."""
    card = copy.deepcopy(card)
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    inside: Any = card
    for step in steps:
        inside = inside[step]
    if value is ...:
        del inside[last]
    elif isinstance(inside, list) and last == len(inside):
        inside.append(value)
    else:
        inside[last] = value
    return card


def text_of(card: Any) -> str:
    return json.dumps(card, ensure_ascii=False, indent=2)
