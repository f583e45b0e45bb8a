"""The Linux system calls that Python 3.11 does not wrap. Nothing is loaded or called when this module is imported.

Every call raises `OSError` with its number when the kernel refuses. The numbers of the newer calls are the same on
every architecture (since 2019 all share one table), which is why they can be called by number.
"""

from __future__ import annotations

import ctypes
import os
import signal

CLONE_NEWNS = 0x00020000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

READ_ONLY = 0x1
NO_SUID = 0x2
NO_DEVICES = 0x4
NO_EXEC = 0x8

_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_OPEN_TREE_CLONE = 0x1
_OPEN_TREE_CLOEXEC = os.O_CLOEXEC
_MOVE_MOUNT_F_EMPTY_PATH = 0x4
_FSOPEN_CLOEXEC = _FSMOUNT_CLOEXEC = 0x1
_FSCONFIG_SET_FLAG, _FSCONFIG_SET_STRING, _FSCONFIG_CMD_CREATE = 0, 1, 6
_MS_REC, _MS_PRIVATE = 0x4000, 0x40000

_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_FSOPEN, _SYS_FSCONFIG, _SYS_FSMOUNT = 428, 429, 430, 431, 432
_SYS_CLONE3, _SYS_MOUNT_SETATTR = 435, 442

_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_CHILD_SUBREAPER = 1, 24, 36
_PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4
_LINUX_CAPABILITY_VERSION_3 = 0x20080522
_CAPABILITIES_AT_MOST = 64

_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1

_libraries: list[ctypes.PyDLL] = []


def _libc() -> ctypes.PyDLL:
    """Return the C library; the interpreter lock stays held, so a clone leaves no lock in the wrong hands."""
    if not _libraries:
        _libraries.append(ctypes.PyDLL(None, use_errno=True))
        _libraries[0].syscall.restype = ctypes.c_long
    return _libraries[0]


def _checked(result: int) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _call(number: int, *arguments: object) -> int:
    """Make a system call; every integer is passed in full width, bytes as a C string."""
    wide = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    return _checked(int(_libc().syscall(ctypes.c_long(number), *wide)))


def _prctl(option: int, *arguments: int) -> None:
    values = [*arguments, 0, 0, 0, 0][:4]
    _checked(int(_libc().prctl(ctypes.c_int(option), *(ctypes.c_ulong(value) for value in values))))


def is_at_least(major: int, minor: int) -> bool:
    """Say whether this kernel is that version or a later one."""
    numbers = os.uname().release.split("-")[0].split(".")
    return (int(numbers[0]), int(numbers[1])) >= (major, minor)


def clone(namespaces: int) -> int:
    """Fork into new namespaces: 0 in the child, the child's process id in the caller.

    Not `unshare`: the caller keeps its own namespaces, so that it sees the world of the worker, and can still do
    without when the new ones turn out to be useless (AppArmor hands out user namespaces without a capability in them).
    """
    arguments = (ctypes.c_uint64 * 8)(namespaces, 0, 0, 0, int(signal.SIGCHLD), 0, 0, 0)
    python = ctypes.pythonapi
    python.PyOS_BeforeFork()
    try:
        child = _call(_SYS_CLONE3, ctypes.byref(arguments), ctypes.sizeof(arguments))
    except OSError:
        python.PyOS_AfterFork_Parent()
        raise
    if child == 0:
        python.PyOS_AfterFork_Child()
    else:
        python.PyOS_AfterFork_Parent()
    return child


def die_with_parent() -> None:
    """Be killed by the kernel as soon as the parent process ends."""
    _prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))


def become_subreaper() -> None:
    """Become the new parent of every descendant that loses its own."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def drop_privileges() -> None:
    """Give up every capability for good, also those that uid 0 or a setuid program would get back by `exec`."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    for capability in range(_CAPABILITIES_AT_MOST):
        try:
            _prctl(_PR_CAPBSET_DROP, capability)
        except OSError:  # beyond the last one, or (EPERM) there is nothing to lose: no_new_privs holds without it
            break
    header = (ctypes.c_uint32 * 2)(_LINUX_CAPABILITY_VERSION_3, 0)
    _checked(int(_libc().capset(ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)()))))


def raise_loopback() -> None:
    """Switch on `lo`, the only interface that a new network namespace has."""
    import fcntl  # noqa: PLC0415 - only runs without a network pay for it
    import socket  # noqa: PLC0415 - as above

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control.fileno(), _SIOCSIFFLAGS, b"lo".ljust(16, b"\0") + _IFF_UP.to_bytes(2, "little") + bytes(22))


def make_mounts_private() -> None:
    """Cut every mount of this namespace off from the one that it was copied from."""
    nothing = ctypes.c_char_p(None)
    _checked(int(_libc().mount(nothing, b"/", nothing, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), nothing)))


def copy_tree(path: str) -> int:
    """Return a detached copy of what is mounted at and below a path, as a file descriptor."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | _AT_RECURSIVE
    return _call(_SYS_OPEN_TREE, _AT_FDCWD, os.fsencode(path), flags)


def new_filesystem(kind: str, options: dict[str, str | None], attributes: int) -> int:
    """Return a new file system, mounted nowhere yet, as a file descriptor; an option without a value is a flag."""
    context = _call(_SYS_FSOPEN, kind.encode(), _FSOPEN_CLOEXEC)
    try:
        for key, value in options.items():
            if value is None:
                _call(_SYS_FSCONFIG, context, _FSCONFIG_SET_FLAG, key.encode(), 0, 0)
            else:
                _call(_SYS_FSCONFIG, context, _FSCONFIG_SET_STRING, key.encode(), os.fsencode(value), 0)
        _call(_SYS_FSCONFIG, context, _FSCONFIG_CMD_CREATE, 0, 0, 0)
        return _call(_SYS_FSMOUNT, context, _FSMOUNT_CLOEXEC, attributes)
    finally:
        os.close(context)


def attach(tree: int, path: str) -> None:
    """Mount a detached tree at a path, over whatever is there."""
    _call(_SYS_MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(path), _MOVE_MOUNT_F_EMPTY_PATH)


def restrict(tree: int | str, attributes: int, *, only_this: bool = False) -> None:
    """Add attributes such as `READ_ONLY` to the mount at a path or of a detached tree, and to all below it."""
    wanted = (ctypes.c_uint64 * 4)(attributes, 0, 0, 0)
    folder, path, flags = (_AT_FDCWD, os.fsencode(tree), 0) if isinstance(tree, str) else (tree, b"", _AT_EMPTY_PATH)
    flags |= 0 if only_this else _AT_RECURSIVE
    _call(_SYS_MOUNT_SETATTR, folder, path, flags, ctypes.byref(wanted), ctypes.sizeof(wanted))
