"""What can be wrong with alerts."""

from __future__ import annotations

from interlock.kernel.errors import Conflict, Failed, Invalid, NotFound


class SinkConfigMissing(NotFound):
    """There is no such file of alert sinks."""

    code = "alert_config_missing"
    default_hint = "`interlock init` makes the shipped one"


class SinkConfigInvalid(Invalid):
    """The file of alert sinks is not right."""

    code = "alert_config_invalid"


class SecretsMissing(Invalid):
    """Variables with the secrets of enabled sinks are not set."""

    code = "alert_secrets_missing"
    default_hint = "set them, disable the sinks, or look with --no-env-check"


class DispatchStateCorrupt(Invalid):
    """The state of the dispatch holds no JSON object."""

    code = "alert_state_corrupt"
    default_hint = "move it away: what was sent is known without it"


class AlertUnknown(NotFound):
    """There is no such alert."""

    code = "alert_unknown"
    default_hint = "`interlock alert list` shows them"


class AlertOver(Conflict):
    """The alert is resolved."""

    code = "alert_over"


class SilenceUnknown(NotFound):
    """There is no such silence."""

    code = "silence_unknown"
    default_hint = "`interlock alert list --silences` shows them"


class SilenceInvalid(Invalid):
    """A silence needs a reason, and an end that is to come."""

    code = "silence_invalid"


class SinkUnknown(NotFound):
    """No sink is called that."""

    code = "sink_unknown"
    default_hint = "`scripts/ops-manager-alert-sink-config.sh --list-sinks --no-env-check` shows them"


class SinkFailed(Failed):
    """The sink did not take it."""

    code = "sink_failed"
    status = 502
