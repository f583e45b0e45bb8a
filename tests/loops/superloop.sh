#!/bin/sh
# A loop runtime as small as one can be: it writes the artefacts that a real one writes, and obeys the same command line.
#   cancel --repo R [--loop L]
#   approve --repo R --loop L --by W [--note N] [--reject]
#   start|work|ask|resume|finish|stop --repo R --loop L        what the loop itself does
set -eu
verb=$1; shift
repo= loop=demo by= note= decision=approved
while [ $# -gt 0 ]; do
    case $1 in
        --repo) repo=$2; shift 2 ;;
        --loop) loop=$2; shift 2 ;;
        --by) by=$2; shift 2 ;;
        --note) note=$2; shift 2 ;;
        --reject) decision=rejected; shift ;;
        *) echo "unknown argument: $1" >&2; exit 1 ;;
    esac
done
base=$repo/.superloop
run=$base/loops/$loop
now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
mkdir -p "$run"

event() { # name, further fields
    printf '{"timestamp":"%s","event":"%s","loop_id":"%s","run_id":"r-1","iteration":1%s}\n' \
        "$now" "$1" "$loop" "${2-}" >>"$run/events.jsonl"
}
put() { # file, text
    printf '%s\n' "$2" >"$1.tmp"
    mv "$1.tmp" "$1"
}
state() { # active
    put "$base/state.json" "{\"active\":$1,\"loop_index\":0,\"iteration\":1,\"current_loop_id\":\"$loop\",\"updated_at\":\"$now\"}"
}
beat() {
    put "$run/heartbeat.v1.json" "{\"schemaVersion\":\"v1\",\"timestamp\":\"$now\",\"source\":\"runtime\",\"status\":\"running\"}"
}
approval() { # status, further fields
    put "$run/approval.json" "{\"status\":\"$1\",\"loop_id\":\"$loop\",\"run_id\":\"r-1\",\"iteration\":1${2-}}"
}
summary() { # completion_ok
    put "$run/run-summary.json" "{\"version\":1,\"loop_id\":\"$loop\",\"updated_at\":\"$now\",\"entries\":[{\"run_id\":\"r-1\",\"iteration\":1,\"gates\":{\"tests\":\"ok\",\"validation\":\"ok\",\"prerequisites\":\"ok\",\"checklist\":\"ok\",\"evidence\":\"skipped\",\"approval\":\"none\",\"lifecycle\":\"ok\"},\"stuck\":{\"streak\":0,\"threshold\":3},\"completion_ok\":$1,\"ended_at\":\"$now\"}]}"
}

case $verb in
    start) state true; beat; event loop_start; event iteration_start ;;
    work) state true; beat; event role_start ',"role":"planner","data":{"n":1}'; event role_end ',"role":"planner","status":"ok"' ;;
    ask) state false; approval pending; event approval_requested ;;
    resume) rm -f "$run/approval.json"; state true; beat; event approval_consumed ;;
    finish) event iteration_end; summary true; state false; event loop_complete ;;
    stop) state false; event loop_stop ',"data":{"reason":"max_iterations"}' ;;
    cancel) rm -f "$base/state.json" "$base/active-run.json"; echo "cancelled $loop" ;;
    approve)
        grep -q '"status":"pending"' "$run/approval.json" 2>/dev/null || { echo "no approval is pending for $loop" >&2; exit 1; }
        approval "$decision" ",\"decision\":{\"status\":\"$decision\",\"by\":\"$by\",\"note\":\"$note\",\"at\":\"$now\"}"
        event approval_decision ",\"role\":\"human\",\"status\":\"$decision\""
        echo "$decision by $by"
        ;;
    *) echo "unknown command: $verb" >&2; exit 1 ;;
esac
