"""The one vocabulary of what happens in a session.

The log, the CLI's ``--json``, the HTTP stream, hooks and exports all speak it. A stored event has
a ``seq``, gap-free from 1 in its session; ``model.delta`` and ``tool.output`` are shown while
they happen and not stored, so their ``seq`` is None.
"""

from agentkit.events.base import Event, JsonObject, now
from agentkit.events.codec import ALL, field_names, from_dict, json_schema, to_dict
from agentkit.events.model import (
    Folded,
    LaneOpened,
    LaneRole,
    ModelAdvised,
    ModelChanged,
    ModelDelta,
    ModelFailed,
    ModelRequested,
    ModelResponded,
    PrefixBroken,
)
from agentkit.events.session import (
    Fact,
    LimitNear,
    Message,
    RunStarted,
    SandboxOpened,
    SessionFinished,
    SessionForked,
    SessionStarted,
    Status,
    Steered,
    Waited,
)
from agentkit.events.tools import (
    ApprovalAnswered,
    ApprovalAsked,
    ToolFinished,
    ToolOutput,
    ToolStarted,
    ToolStatus,
)
from agentkit.events.work import (
    CheckFailed,
    CheckPassed,
    CheckReport,
    Evidence,
    EvidenceKind,
    Form,
    PlanUpdated,
    RungChanged,
    RungSkipped,
)
from agentkit.events.workspace import Checkpoint, Restored

__all__ = [
    "ALL",
    "ApprovalAnswered",
    "ApprovalAsked",
    "CheckFailed",
    "CheckPassed",
    "CheckReport",
    "Checkpoint",
    "Event",
    "Evidence",
    "EvidenceKind",
    "Fact",
    "Folded",
    "Form",
    "JsonObject",
    "LaneOpened",
    "LaneRole",
    "LimitNear",
    "Message",
    "ModelAdvised",
    "ModelChanged",
    "ModelDelta",
    "ModelFailed",
    "ModelRequested",
    "ModelResponded",
    "PlanUpdated",
    "PrefixBroken",
    "Restored",
    "RunStarted",
    "RungChanged",
    "RungSkipped",
    "SandboxOpened",
    "SessionFinished",
    "SessionForked",
    "SessionStarted",
    "Status",
    "Steered",
    "ToolFinished",
    "ToolOutput",
    "ToolStarted",
    "ToolStatus",
    "Waited",
    "field_names",
    "from_dict",
    "json_schema",
    "now",
    "to_dict",
]
