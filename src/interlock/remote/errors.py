"""What stands against a command from afar."""

from __future__ import annotations

from interlock.kernel.errors import Invalid, Refused, Unreachable


class NotFromAfar(Invalid):
    """This can not be done from afar."""

    code = "not_from_afar"
    default_hint = "call it without --server and INTERLOCK_SERVER, on the machine where the workspace is"


class AddressRefused(Invalid):
    """This is no address of a server to which a token may be sent."""

    code = "server_address_refused"
    default_hint = "https://HOST[:PORT], or http:// to this machine itself (http://127.0.0.1:9325)"


class TokenMissing(Invalid):
    """A server asks for a token."""

    code = "token_missing"
    default_hint = (
        "`interlock token create` prints one on the server's machine; keep it in a file (mode 600) and name "
        "that with --token-file or INTERLOCK_TOKEN_FILE, or set INTERLOCK_TOKEN"
    )


class TokenMalformed(Invalid):
    """This is not a token."""

    code = "token_malformed"


class TokenFileUnreadable(Invalid):
    """The token's file can not be read."""

    code = "token_file_unreadable"


class TokenFileUnsafe(Refused):
    """Others than its owner can reach the token's file."""

    code = "token_file_unsafe"
    default_hint = "take the others' rights away (chmod 600), and rotate the token if somebody may have read it"


class InsideRun(Refused):
    """Inside of a run nobody is a human, whatever token is at hand."""

    code = "inside_run"
    default_hint = "a person decides from their own terminal, outside of any run"


class ServerAway(Unreachable):
    """The server does not answer."""

    code = "server_unreachable"
    default_hint = "is it running, and is the address right? `interlock serve` says where it listens"


class AnswerLost(Unreachable):
    """The connection was lost before the server had answered."""

    code = "answer_lost"
    default_hint = "whether it was done is not known: look before you repeat it"


class NotInterlock(Unreachable):
    """What answers there does not speak as an Interlock server of this version does."""

    code = "not_interlock"
    default_hint = "is the address right, and is the server of the same version?"


class WorkFolderUnusable(Invalid):
    """A worker can not keep anything in this folder."""

    code = "work_folder_unusable"
    default_hint = "name a folder of your own: --work-dir DIR"
