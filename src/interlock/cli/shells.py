"""The scripts by which bash, zsh and fish complete `interlock`, written from tables. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from interlock.cli.tables import Tables

_WALK = """\
    for word in "$@"; do
        if [[ -n $expects ]]; then
            [[ $word == "=" ]] || expects=''
            continue
        fi
        case "$word" in
        --) return 1 ;;
        --*=*) ;;
        -*) _interlock_in "$word" "$common $(_interlock_valued "$place")" && expects="$word" ;;
        =) ;;
        *)
            if [[ -z $place ]]; then
                place="$word"
            elif [[ $place != *' '* ]] && _interlock_in "$word" "$(_interlock_verbs "$place")"; then
                place="$place $word"
            fi
            ;;
        esac
    done
    if [[ -n $expects ]]; then
        found="$(_interlock_choices "$place $expects")"
    elif [[ $current == -* ]]; then
        found="$(_interlock_flags "$place") $(_interlock_valued "$place") $common $flags"
    elif [[ -z $place ]]; then
        found="$(_interlock_verbs '')"
    elif [[ $place != *' '* ]]; then
        found="$(_interlock_verbs "$place") $(_interlock_choices "$place")"
    else
        found="$(_interlock_choices "$place")"
    fi
"""

_BASH = """\
_interlock() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" found=''
    COMPREPLY=()
    [[ $current == "=" ]] && current=''
    _interlock_found "$current" "${{COMP_WORDS[@]:1:COMP_CWORD-1}}" || return 0
    COMPREPLY=($(compgen -W "$found" -- "$current"))
}}
complete -o default -o bashdefault -F _interlock interlock
"""

_ZSH = """\
_interlock() {{
    local found=''
    _interlock_found "$PREFIX" "${{(@)words[2,CURRENT-1]}}" || {{ _files; return }}
    [[ -n ${{found// /}} ]] && compadd -- ${{=found}} || _files
}}
if [[ ${{funcstack[1]}} == _interlock ]]; then
    _interlock "$@"
else
    compdef _interlock interlock
fi
"""

_FISH = """\
function __interlock_place
    set -l place
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
        else if contains -- $word {valued}
            set skip 1
        else if string match -q -- '-*' $word
            continue
        else if test (count $place) -lt 2
            set -a place $word
        end
    end
    echo $place
end

function __interlock_at
    set -l place (__interlock_place)
    test "$place" = "$argv[1]"; or string match -q -- "$argv[1] *" "$place"
end

function __interlock_verb_is_missing
    test (__interlock_place) = "$argv[1]"
end

complete -c interlock -f
"""


def bash(tables: Tables) -> str:
    """Return the script for bash."""
    return "".join(["# bash completion of interlock\n", *_shared(tables), _BASH.format()])


def zsh(tables: Tables) -> str:
    """Return the script for zsh."""
    return "".join(["#compdef interlock\n", *_shared(tables), _ZSH.format()])


def _shared(tables: Tables) -> Iterator[str]:
    """Yield what both of them understand: four tables, and the walk over the line as it stands."""
    yield '_interlock_in() { case " $2 " in *" $1 "*) return 0 ;; esac; return 1; }\n'
    verbs = [("", [room.name for room in tables.rooms])]
    verbs += [(room.name, [verb.name for verb in room.verbs]) for room in tables.rooms]
    choices = [(place, line.choices) for place, line in tables.lines()]
    choices += [(f"{place} {option}", few) for place, line in tables.lines() for option, few in line.valued.items()]
    yield _table("_interlock_verbs", verbs)
    yield _table("_interlock_flags", [(place, line.flags) for place, line in tables.lines()])
    yield _table("_interlock_valued", [(place, list(line.valued)) for place, line in tables.lines()])
    yield _table("_interlock_choices", choices)
    yield "# Says in `found` what may stand here; the words before it follow the word that is begun.\n"
    yield "_interlock_found() {\n"
    yield f"    local current=\"$1\" place='' expects='' word='' common={_quoted(tables.common.valued)}\n"
    yield f"    local flags={_quoted(tables.common.flags)}\n    shift\n{_WALK}}}\n"


def _table(name: str, rows: Iterable[tuple[str, Sequence[str]]]) -> str:
    lines = [f"    {_quoted([key])}) echo {_quoted(words)} ;;\n" for key, words in rows if words]
    return f'{name}() {{\n    case "$1" in\n{"".join(lines)}    esac\n}}\n'


def _quoted(words: Sequence[str]) -> str:
    return "'" + " ".join(words).replace("'", "'\\''") + "'"


def fish(tables: Tables) -> str:
    """Return the script for fish."""
    valued = {*tables.common.valued, *(option for _, line in tables.lines() for option in line.valued)}
    return "".join(
        ["# fish completion of interlock\n", _FISH.format(valued=" ".join(sorted(valued))), *_fish_lines(tables)]
    )


def _fish_lines(tables: Tables) -> Iterator[str]:
    for option in tables.common.flags:
        yield f"complete -c interlock -l {option[2:]}\n"
    for option in tables.common.valued:
        yield f"complete -c interlock -l {option[2:]} -r -F\n"
    for room in tables.rooms:
        yield f"complete -c interlock -n 'test -z (__interlock_place)' -a {room.name} -d {_fish(room.about)}\n"
        for verb in room.verbs:
            where = _fish(f"__interlock_verb_is_missing {_fish(room.name)}")
            yield f"complete -c interlock -n {where} -a {verb.name} -d {_fish(verb.about)}\n"
    for place, line in tables.lines():
        where = f"complete -c interlock -n {_fish(f'__interlock_at {_fish(place)}')}"
        for flag in line.flags:
            yield f"{where} -l {flag[2:]}\n"
        for option, few in line.valued.items():
            yield f"{where} -l {option[2:]} -r " + (f"-f -a {_fish(' '.join(few))}\n" if few else "-F\n")
        if line.choices:
            yield f"{where} -a {_fish(' '.join(line.choices))}\n"


def _fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
