"""What providers refuse, and how a call can fail. No sentence here holds a key, whatever a provider answered."""

from __future__ import annotations

from interlock.kernel.errors import Conflict, Failed, InterlockError, Invalid, NotFound, Unreachable


class ConfigurationMissing(NotFound):
    """No providers are configured."""

    code = "provider_configuration_missing"
    default_hint = "`interlock init` writes a first provider.json, `interlock provider set --file` your own"


class ConfigurationInvalid(Invalid):
    """This is not a configuration of providers."""

    code = "provider_configuration_invalid"


class ConfigurationUnsafe(Conflict):
    """The configuration is open to others, or not a file of its own."""

    code = "provider_configuration_unsafe"


class ConfigurationUnwritten(Failed):
    """The configuration can not be written."""

    code = "provider_configuration_unwritten"
    default_hint = "nothing was changed; look at the permissions and the space of its folder"


class ConfigurationBusy(Conflict):
    """Another process is changing the configuration."""

    code = "provider_configuration_busy"
    default_hint = "nothing was changed; try again"


class ConfigurationChanged(Conflict):
    """The configuration is not what you looked at any more."""

    code = "provider_configuration_changed"
    default_hint = "look at it again (`interlock provider show`) and decide on what it says now"


class ProviderExtraMissing(Conflict):
    """The client library of this type of provider is not installed."""

    code = "provider_extra_missing"


class ProviderError(InterlockError):
    """A provider did not do what was asked."""

    reason: str
    """One word for programs, such as `offline` or `rate_limited`."""
    draft_id: str | None
    """The draft in error that keeps the prompt."""
    retry_after_seconds: float | None
    """When the provider said that it may be asked again."""

    def __init__(
        self,
        message: str = "",
        *,
        reason: str,
        hint: str = "",
        draft_id: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        """Take the sentence, the word for programs, and what to do about it."""
        super().__init__(message, hint=hint)
        self.reason = reason
        self.draft_id = draft_id
        self.retry_after_seconds = retry_after_seconds

    def about(self, draft_id: str) -> ProviderError:
        """Return the same failure, naming the draft that keeps the prompt."""
        kept = f"{draft_id} keeps the prompt, in error: edit or reject it"
        return type(self)(
            self.message,
            reason=self.reason,
            hint=f"{self.hint}; {kept}" if self.hint else kept,
            draft_id=draft_id,
            retry_after_seconds=self.retry_after_seconds,
        )


class ProviderUnreachable(ProviderError, Unreachable):
    """The provider does not answer."""

    code = "provider_unreachable"
    status = 503


class ProviderTimeout(ProviderError, Unreachable):
    """The provider took too long."""

    code = "provider_timeout"
    status = 504


class ProviderFailed(ProviderError, Failed):
    """The provider answered, and it was no use."""

    code = "provider_failed"
    status = 502


class ProvidersBusy(ProviderError, Unreachable):
    """As many drafts are being generated as may be at the same time."""

    code = "providers_busy"
    status = 503


class ProviderCancelled(ProviderError, Conflict):
    """The generation was called off."""

    code = "provider_cancelled"
