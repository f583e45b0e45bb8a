"""The agent's view of the file system, built by the keeper inside its own mount namespace.

First everything that has to stay reachable is copied into detached trees, then the whole world is made read-only, then
the layers are put on top of it, the outermost first, so that a worktree can lie inside a hidden folder inside a private
/tmp. A hidden folder is an empty read-only tmpfs; where layers lie below it, it shows the bare folders on the way.

An agent can't undo any of it: it has no capability here, and in user namespaces of its own the kernel locks the mounts.
"""
# ruff: noqa: PTH102, PTH103, PTH110, PTH112, PTH120 - pathlib's import would cost as much as the rest of the start

from __future__ import annotations

import errno
import os
import stat

from interlock.runs.containment import linux

TYPE_CHECKING = False  # typing's own costs an import
if TYPE_CHECKING:
    from interlock.runs.containment.wire import GitMode, OverlayJson, SpecJson, ViewJson

_INERT = linux.NO_SUID | linux.NO_DEVICES | linux.NO_EXEC
_PRIVATE_TMP = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - these are mount points, not files to create
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}
_FORBIDDEN = (errno.EPERM, errno.EACCES, errno.ENOSYS)

LOCAL_SERVICES = (
    "/run/user/{uid}",
    "/run/dbus",
    "/run/systemd/private",
    "/run/docker.sock",
    "/run/containerd",
    "/run/podman",
    "/run/crio",
    "/run/lxd.socket",
    "/run/snapd.socket",
    "/run/initctl",
    "/dev/initctl",
)
"""Sockets and pipes by which someone outside the tree (systemd, D-Bus, Docker) can be asked to start a process."""


class PathMissing(Exception):
    """A path that the specification names does not exist or may not be looked at; the argument is the path."""


class Unavailable(Exception):
    """This host does not let us build a view; the argument says at which step."""


class Layer:
    """A detached tree and the path where it belongs."""

    __slots__ = ("path", "sealed", "tree")

    def __init__(self, path: str, tree: int, *, sealed: bool = False) -> None:
        """Take the path, the tree's descriptor, and whether it turns read-only once all mount points in it exist."""
        self.path = path
        self.tree = tree
        self.sealed = sealed


def build(spec: SpecJson) -> ViewJson:
    """Build the view that the specification asks for; raises `PathMissing`, `Unavailable` or `OSError`."""
    os.umask(0)
    notes: list[str] = []
    try:
        linux.make_mounts_private()
        git, overlays = _overlays(spec["overlay_paths"], notes)
        layers = [*_hidden(spec), *_plain(spec), *overlays, *_private_tmp(spec), *_devices(), *_proc(notes)]
        linux.restrict("/", linux.READ_ONLY | (linux.NO_DEVICES if _is_root() else 0))
    except OSError as error:
        if error.errno in _FORBIDDEN:
            raise Unavailable(f"the mount namespace: {error.strerror}") from error
        raise
    _put_on_top(layers)
    if _is_root():
        _seal_kernel_settings()
    return {"git": git, "notes": notes}


def _is_root() -> bool:
    """Say whether root's files are the agent's own: ownership, not a capability, would let it write to them."""
    return os.getuid() == 0


def _put_on_top(layers: list[Layer]) -> None:
    layers.sort(key=lambda layer: layer.path.rstrip("/").count("/"))
    for layer in layers:
        _make_mount_point(layer)
        linux.attach(layer.tree, layer.path)
        os.close(layer.tree)
    for layer in layers:
        if layer.sealed:
            linux.restrict(layer.path, linux.READ_ONLY, only_this=True)


def _make_mount_point(layer: Layer) -> None:
    """Create the mount point if it lies in a folder that we have just emptied; elsewhere the world is read-only."""
    if os.path.lexists(layer.path):
        return
    os.makedirs(os.path.dirname(layer.path), mode=0o755, exist_ok=True)
    if stat.S_ISDIR(os.fstat(layer.tree).st_mode):
        os.mkdir(layer.path, mode=0o755)
    else:
        os.close(os.open(layer.path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))


def _copy(path: str) -> Layer:
    real = os.path.realpath(path)
    try:
        return Layer(real, linux.copy_tree(real))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        raise PathMissing(path) from None


def _empty(path: str) -> Layer:
    """Return what hides a path: an empty folder, or for anything else a device that reads as nothing."""
    if not os.path.isdir(path):
        return Layer(path, linux.copy_tree("/dev/null"))
    tree = linux.new_filesystem("tmpfs", {"size": "64k", "nr_inodes": "512", "mode": "0755"}, _INERT)
    return Layer(path, tree, sealed=True)


def _hidden(spec: SpecJson) -> list[Layer]:
    paths = list(spec["hidden_paths"])
    if not spec["local_services"]:
        paths += [path.format(uid=os.getuid()) for path in LOCAL_SERVICES]
    there = {os.path.realpath(path) for path in paths if os.path.exists(path)}
    return [_empty(path) for path in sorted(there)]


def _plain(spec: SpecJson) -> list[Layer]:
    readable = [_copy(path) for path in spec["readonly_paths"]]
    for layer in readable:
        linux.restrict(layer.tree, linux.READ_ONLY)
    return [*readable, *(_copy(path) for path in spec["writable_paths"])]


def _overlays(overlays: list[OverlayJson], notes: list[str]) -> tuple[GitMode, list[Layer]]:
    """Return how the overlaid folders appear, and the layers; a plain read-only copy where overlayfs says no."""
    git: GitMode = "overlay" if overlays else "none"
    layers: list[Layer] = []
    for overlay in overlays:
        try:
            layers.append(_overlay(overlay))
        except FileNotFoundError as error:
            raise PathMissing(error.filename or overlay["lower"]) from None
        except OSError as error:
            notes.append(f"overlay_unavailable: {error.strerror}")
            git = "read_only"
            layer = _copy(overlay["lower"])
            linux.restrict(layer.tree, linux.READ_ONLY)
            layers.append(layer)
    return git, layers


def _overlay(overlay: OverlayJson) -> Layer:
    """Mount an overlay; folders go in by descriptor, so that `:` and `,` in a path mean nothing."""
    opened: list[int] = []
    try:
        for path in (overlay["lower"], overlay["upper"], overlay["work"]):
            opened += [os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)]  # one by one: the next may fail
        lower, upper, work = (f"/proc/self/fd/{descriptor}" for descriptor in opened)
        options = {"lowerdir": lower, "upperdir": upper, "workdir": work, "userxattr": None}
        tree = linux.new_filesystem("overlay", options, 0)
        return Layer(os.path.realpath(overlay["lower"]), tree)
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _private_tmp(spec: SpecJson) -> list[Layer]:
    """Return the private temporary folders: three corners of one tmpfs, so that its size is the limit of all."""
    size = spec["private_tmp_bytes"]
    there = sorted({os.path.realpath(path) for path in _PRIVATE_TMP if os.path.isdir(path)})
    if size is None or not there:
        return []
    stage = there[0]
    tree = linux.new_filesystem("tmpfs", {"size": str(size), "mode": "0755"}, linux.NO_SUID | linux.NO_DEVICES)
    linux.attach(tree, stage)  # only what is mounted can be copied from; the stage's own layer will cover it
    os.close(tree)
    layers: list[Layer] = []
    for number, path in enumerate(there):
        corner = f"{stage}/{number}"
        os.mkdir(corner, mode=0o1777)
        layers.append(Layer(path, linux.copy_tree(corner)))
    return layers


def _devices() -> list[Layer]:
    """Return private terminals (the operator's must not be readable), and for root a /dev without disks and memory."""
    options: dict[str, str | None] = {"ptmxmode": "0666", "mode": "0600"}
    terminals = Layer("/dev/pts", linux.new_filesystem("devpts", options, linux.NO_SUID | linux.NO_EXEC))
    if not _is_root():
        return [terminals] if os.path.isdir("/dev/pts") else []
    nodes = [Layer(f"/dev/{name}", linux.copy_tree(f"/dev/{name}")) for name in _DEVICES]
    return [_device_folder(), terminals, *nodes]


def _device_folder() -> Layer:
    tree = linux.new_filesystem("tmpfs", {"size": "64k", "nr_inodes": "64", "mode": "0755"}, _INERT)
    for name, target in _DEVICE_LINKS.items():
        os.symlink(target, name, dir_fd=tree)
    os.mkdir("shm", mode=0o1777, dir_fd=tree)
    return Layer("/dev", tree, sealed=True)


def _proc(notes: list[str]) -> list[Layer]:
    try:
        return [Layer("/proc", linux.new_filesystem("proc", {}, _INERT))]
    except OSError as error:  # in a container whose own /proc is masked; processes outside stay visible, not reachable
        notes.append(f"proc_not_private: {error.strerror}")
        return []


def _seal_kernel_settings() -> None:
    """Make the parts of /proc read-only that are not about processes: root owns them, so root could write to them."""
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() or entry.is_symlink():
            continue
        if entry.is_dir() or entry.stat().st_mode & 0o222:
            tree = linux.copy_tree(entry.path)
            linux.restrict(tree, linux.READ_ONLY)
            linux.attach(tree, entry.path)
            os.close(tree)
