"""What the fleet refuses."""

from __future__ import annotations

from interlock.kernel.errors import Conflict, Failed, Invalid, NotFound, Refused


class NodeUnknown(NotFound):
    """There is no such node."""

    code = "node_unknown"
    default_hint = "`interlock node list` shows them"


class NodeNotTaking(Refused):
    """The node takes nothing up now."""

    code = "node_not_taking"
    default_hint = "`interlock node show` says why; `interlock node resume ID` lets it go on"


class NodeBehind(Refused):
    """The node does not follow the newest configuration yet."""

    code = "node_behind"
    default_hint = "it takes it over at its next heartbeat; `interlock node list` says who follows which"


class NodeStateConflict(Conflict):
    """The node's state does not allow it."""

    code = "node_state_conflict"


class NodeIdentityForeign(Conflict):
    """The workspace's node file is another machine's."""

    code = "node_identity_foreign"


class NodeIdentityBroken(Failed):
    """The workspace's node file can not be used."""

    code = "node_identity_broken"


class NodeLabelInvalid(Invalid):
    """A label is a word in lower case, or `name=value`."""

    code = "node_label_invalid"


class NotLeader(Refused):
    """Another process leads now."""

    code = "not_leader"
    default_hint = "nothing was written; whoever leads now does it"


class ConfigUnknown(NotFound):
    """There is no such version of the configuration."""

    code = "config_unknown"
    default_hint = "`interlock config history` lists them"


class ConfigRaced(Conflict):
    """Another version was published in the same moment."""

    code = "config_raced"
    default_hint = "look at it with `interlock config show`, and publish again what you still want"


class ConfigUnchanged(Conflict):
    """This is what is published already."""

    code = "config_unchanged"
