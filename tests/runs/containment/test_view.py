"""What an agent in namespaces sees and can change; and that it can't change what it sees."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from interlock.runs.containment.launch import launch
from interlock.runs.containment.spec import Overlay
from tests.runs.containment.trees import PATH, TMP, is_root, python, shell, wait_for_output, watch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.runs.containment.trees import Wanted


@dataclass(frozen=True)
class Workspace:
    """A workspace as Interlock lays it out: keys and mirror hidden with the state, the worktree within it writable."""

    root: Path
    state: Path
    key: Path
    mirror: Path
    worktree: Path
    elsewhere: Path


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    state = tmp_path / "project" / ".interlock"
    made = Workspace(
        root=tmp_path / "project",
        state=state,
        key=state / "keys" / "log.key",
        mirror=state / "mirrors" / "one.git",
        worktree=state / "worktrees" / "r_1, with: odd\\name",
        elsewhere=tmp_path / "elsewhere",
    )
    for folder in (made.key.parent, made.mirror, made.worktree, made.elsewhere):
        folder.mkdir(parents=True)
    made.key.write_text("the private key")
    made.key.chmod(0o600)
    (made.root / "README.md").write_text("hello")
    (made.mirror / "HEAD").write_text("ref: refs/heads/main\n")
    return made


TRY_TO_WRITE = """
import errno, sys
for target in sys.argv[1:]:
    try:
        with open(target, "a") as file: file.write("x")
        print("written")
    except OSError as error:
        print(errno.errorcode[error.errno])
"""


def test_only_writable_paths_can_be_written_and_nothing_else_reaches_the_disk(workspace: Workspace) -> None:
    inside, outside, readme = workspace.worktree / "new", workspace.elsewhere / "new", workspace.root / "README.md"
    hidden: Wanted = {"hidden_paths": (workspace.state,), "writable_paths": (workspace.worktree,)}

    seen = watch(python(TRY_TO_WRITE, inside, outside, readme, "/etc/hostname", "/usr/bin/new", **hidden))

    assert seen.stdout.split()[:3] == ["written", "EROFS", "EROFS"]
    assert set(seen.stdout.split()[3:]) <= {"EROFS", "EACCES"}
    assert inside.read_text() == "x"
    assert not outside.exists()
    assert readme.read_text() == "hello"


def test_a_hidden_folder_shows_nothing_but_the_way_to_what_is_not_hidden(workspace: Workspace) -> None:
    wanted = shell(
        f"cd {workspace.state} && find . | sort; cat {workspace.key}; cat {workspace.root}/README.md",
        hidden_paths=(workspace.state,),
        readonly_paths=(workspace.mirror,),
        cwd=workspace.root,
    )
    seen = watch(wanted)

    assert seen.stdout == "./mirrors\n./mirrors/one.git\n./mirrors/one.git/HEAD\nhello".replace("./", ".\n./", 1)
    assert "No such file or directory" in seen.stderr


def test_a_hidden_folder_can_not_be_written_to(workspace: Workspace) -> None:
    targets = (workspace.state / "new", workspace.key, workspace.mirror / "HEAD")
    hidden: Wanted = {"hidden_paths": (workspace.state,), "readonly_paths": (workspace.mirror,)}

    seen = watch(python(TRY_TO_WRITE, *targets, **hidden))

    assert seen.stdout.split() == ["EROFS", "ENOENT", "EROFS"]


def test_a_hidden_file_reads_as_nothing(workspace: Workspace) -> None:
    seen = watch(shell(f"cat {workspace.key}", hidden_paths=(workspace.key,)))

    assert (seen.stdout, seen.stderr, seen.ended.exit_code) == ("", "", 0)


def test_a_folder_inside_a_writable_one_can_be_hidden(workspace: Workspace) -> None:
    script = f"echo x > {workspace.root}/new; ls -A {workspace.state}"
    seen = watch(shell(script, writable_paths=(workspace.root,), hidden_paths=(workspace.state,)))

    assert (seen.stdout, seen.stderr) == ("", "")
    assert (workspace.root / "new").read_text() == "x\n"


ESCAPES = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
state, elsewhere = sys.argv[1].encode(), sys.argv[2].encode()
def check():
    print(os.path.exists(state + b"/keys/log.key"), os.access(elsewhere, os.W_OK))
def attack():
    libc.umount2(state, 2)
    libc.umount2(b"/proc", 2)
    libc.mount(None, b"/", None, 0x20 | 0x1000, None)
    libc.mount(None, elsewhere, None, 0x20 | 0x1000, None)
    attributes = (ctypes.c_uint64 * 4)(0, 1, 0, 0)
    libc.syscall(442, -100, b"/", 0x8000, ctypes.byref(attributes), 32)
    tree = libc.syscall(428, -100, os.path.dirname(state), 1)
    if tree >= 0: print("copied", os.path.exists(f"/proc/self/fd/{tree}/" + os.path.basename(state).decode() + "/keys"))
    libc.mount(b"/", b"/mnt", None, 0x1000, None)
    if os.path.exists(b"/mnt" + state + b"/keys"): print("bound")
attack(); check()
libc.unshare(0x10000000 | 0x20000); print(libc.mount(None, b"/", None, 0x4000 | 0x40000, None))
attack(); check()
"""


def test_the_view_can_not_be_undone_not_even_in_a_user_namespace_of_the_agents_own(workspace: Workspace) -> None:
    seen = watch(python(ESCAPES, workspace.state, workspace.elsewhere, hidden_paths=(workspace.state,)))

    assert seen.stderr == ""
    assert seen.stdout.splitlines() == ["False False", "0", "False False"]  # "0": there it did get the right to mount


def test_what_the_agent_writes_to_an_overlaid_folder_stays_in_the_overlay(workspace: Workspace, tmp_path: Path) -> None:
    upper, work = tmp_path / "upper", tmp_path / "work"
    upper.mkdir()
    work.mkdir()
    overlay = Overlay(lower=workspace.mirror, upper=upper, work=work)
    script = f"cd {workspace.mirror}; echo changed > HEAD; mkdir refs; echo new > refs/new; cat HEAD refs/new"

    seen = watch(shell(script, hidden_paths=(workspace.state,), overlay_paths=(overlay,)))

    assert (seen.stdout, seen.stderr, seen.started.git) == ("changed\nnew\n", "", "overlay")
    assert sorted(path.name for path in workspace.mirror.iterdir()) == ["HEAD"]
    assert (workspace.mirror / "HEAD").read_text() == "ref: refs/heads/main\n"
    assert (upper / "HEAD").read_text() == "changed\n"


def test_a_commit_in_the_worktree_does_not_reach_the_mirror(workspace: Workspace, tmp_path: Path) -> None:
    quiet = {"PATH": PATH, "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}
    for name in ("AUTHOR", "COMMITTER"):
        quiet |= {f"GIT_{name}_NAME": "A", f"GIT_{name}_EMAIL": "a@example.org"}

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], check=True, capture_output=True, text=True, env=quiet).stdout.strip()

    shutil.rmtree(workspace.mirror)
    git("init", "-q", "--bare", "-b", "main", str(workspace.mirror))
    tree = git("-C", str(workspace.mirror), "hash-object", "-w", "-t", "tree", "/dev/null")
    base = git("-C", str(workspace.mirror), "commit-tree", "-m", "base", tree)
    git("-C", str(workspace.mirror), "update-ref", "refs/heads/main", base)
    git("-C", str(workspace.mirror), "worktree", "add", "-q", "--detach", str(workspace.worktree), base)
    upper, work = tmp_path / "upper", tmp_path / "work"
    upper.mkdir()
    work.mkdir()
    objects = git("-C", str(workspace.mirror), "count-objects")

    seen = watch(
        shell(
            "echo hi > file && git add file && git checkout -q -b mine && git commit -q -m mine && git log --format=%s",
            env=quiet,
            cwd=workspace.worktree,
            hidden_paths=(workspace.state,),
            writable_paths=(workspace.worktree,),
            overlay_paths=(Overlay(lower=workspace.mirror, upper=upper, work=work),),
        )
    )

    assert (seen.stdout, seen.stderr) == ("mine\nbase\n", "")
    assert git("-C", str(workspace.mirror), "branch", "--format=%(refname)") == "refs/heads/main"
    assert git("-C", str(workspace.mirror), "count-objects") == objects
    assert (workspace.worktree / "file").read_text() == "hi\n"


def test_where_no_overlay_can_be_mounted_the_folder_is_read_only_and_the_start_says_so(workspace: Workspace) -> None:
    impossible = Overlay(lower=workspace.mirror, upper=workspace.elsewhere, work=Path("/proc"))
    hidden: Wanted = {"hidden_paths": (workspace.state,), "overlay_paths": (impossible,)}

    seen = watch(python(TRY_TO_WRITE, workspace.mirror / "HEAD", **hidden))

    assert (seen.stdout, seen.started.git) == ("EROFS\n", "read_only")
    assert seen.started.notes[0].startswith("overlay_unavailable: ")


def test_the_temporary_folders_are_the_runs_own_and_limited_together() -> None:
    program = """
import errno, os
print([len(os.listdir(folder)) for folder in ("/var/tmp", "/dev/shm")])
for folder in ("/tmp", "/var/tmp", "/dev/shm"):
    try:
        with open(folder + "/big", "wb", buffering=0) as file:
            for _ in range(6): file.write(bytes(100_000))
        print("written")
    except OSError as error:
        print(errno.errorcode[error.errno])
"""
    seen = watch(
        python(program, private_tmp_bytes=1_000_000, readonly_paths=(Path(os.__file__).parent, Path(sys.prefix)))
    )

    assert seen.stdout.splitlines() == ["[0, 0]", "written", "ENOSPC", "ENOSPC"]
    assert not (TMP / "big").exists()


def test_a_worktree_below_the_private_temporary_folder_is_still_the_real_one(tmp_path: Path) -> None:
    seen = watch(
        shell("ls; echo x > new; ls /tmp", cwd=tmp_path, writable_paths=(tmp_path,), private_tmp_bytes=1_000_000)
    )

    assert (tmp_path / "new").read_text() == "x\n"
    if tmp_path.is_relative_to(TMP):
        assert seen.stdout.split() == [tmp_path.relative_to(TMP).parts[0]]


def test_without_a_network_there_is_loopback_and_no_way_out() -> None:
    program = """
import errno, socket
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname(), 2).close()
print("loopback", [name for _, name in socket.if_nameindex()], len(open("/proc/net/route").readlines()) - 1)
try: socket.create_connection(("192.0.2.1", 80), 2)
except OSError as error: print(errno.errorcode[error.errno])
"""
    seen = watch(python(program, network=False))

    assert seen.stderr == ""
    assert seen.stdout.splitlines() == ["loopback ['lo'] 0", "ENETUNREACH"]


def test_every_namespace_is_the_runs_own_but_those_it_shares_on_purpose() -> None:
    seen = watch(shell("cd /proc/self/ns && readlink user mnt pid ipc net uts"))

    shared = {name.partition(":")[0] for name in seen.stdout.split() if name in ours()}
    assert shared == {"net", "uts"}


def ours() -> set[str]:
    """Return the namespaces of this process."""
    return {os.readlink(entry) for entry in Path("/proc/self/ns").iterdir()}  # noqa: PTH115 - no path, a name


def test_with_a_network_the_worker_can_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        seen = watch(python(f"import socket; socket.create_connection(('127.0.0.1', {port}), 2); print('reached')"))

    assert seen.stdout == "reached\n"


def test_the_agent_has_terminals_of_its_own_and_sees_none_of_the_operators() -> None:
    seen = watch(python("import os; a, b = os.openpty(); print(os.ttyname(b), sorted(os.listdir('/dev/pts')))"))

    assert seen.stdout == "/dev/pts/0 ['0', 'ptmx']\n"


@pytest.mark.skipif(not is_root(), reason="only root could write to these")
def test_an_agent_of_root_reaches_no_disk_and_no_setting_of_the_machine() -> None:
    seen = watch(shell("ls /dev; find /dev -type b; echo x > /proc/sys/kernel/core_pattern; ls /sys/kernel >/dev/null"))

    devices = [
        "fd",
        "full",
        "null",
        "ptmx",
        "pts",
        "random",
        "shm",
        "stderr",
        "stdin",
        "stdout",
        "tty",
        "urandom",
        "zero",
    ]
    assert seen.stdout.split() == devices
    assert "Read-only file system" in seen.stderr


@pytest.fixture
def service() -> Iterator[Path]:
    """A socket of a local service, where those of this user are."""
    folder = Path("/run/dbus") if is_root() else Path(f"/run/user/{os.getuid()}")
    path, there = folder / f"service-{os.getpid()}", folder.is_dir()
    if not is_root() and not os.access(folder, os.W_OK):
        pytest.skip("only root has a place for the sockets of services")
    folder.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        yield path
    path.unlink()
    if not there:
        folder.rmdir()


def test_the_sockets_of_local_services_are_hidden_unless_asked_for(service: Path) -> None:
    hidden, seen = (watch(shell(f"ls {service.parent}", local_services=asked)) for asked in (False, True))

    assert hidden.stdout == ""
    assert service.name in seen.stdout.split()


def test_without_namespaces_the_start_says_what_is_not_held(workspace: Workspace) -> None:
    wanted = shell("exit 0", mode="never", hidden_paths=(workspace.state,), max_processes=5)

    seen = watch(wanted)

    assert (seen.started.containment, seen.started.git) == ("best_effort", "none")
    assert seen.started.notes == ("paths_not_enforced", "max_processes_not_enforced")


def test_the_prompt_can_be_read_but_not_be_reopened_for_writing(tmp_path: Path) -> None:
    prompt = tmp_path / "prompt.md"
    prompt.write_text("approved")

    seen = watch(python(TRY_TO_WRITE, "/proc/self/fd/0", stdin_file=prompt))

    assert seen.stdout.strip() in ("EPERM", "EACCES")
    assert prompt.read_text() == "approved"


def test_runs_side_by_side_do_not_see_each_other() -> None:
    private: Wanted = {"private_tmp_bytes": 100_000}
    with launch(shell("echo mine > /tmp/mark; echo ready; read line < /dev/zero", **private)) as other:
        wait_for_output(other, b"ready")
        seen = watch(shell("ls /tmp; ls -d /proc/[0-9]* | wc -l", **private))

    assert int(seen.stdout) <= 4  # the keeper, the shell, ls, wc
