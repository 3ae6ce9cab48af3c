#!/usr/bin/env bash
# A worker in bash and curl: claims steps, runs them, reports outcomes. See docs/workers.md.
set -um # -m: each background job has a process group, so that all of it can be stopped.
export LC_ALL=C
url=${TASKFLOW_URL:-http://127.0.0.1:3000}/steps dir=$(mktemp -d) job='' leaving=''
trap '((BASHPID != $$)) || rm -rf "$dir"' EXIT && trap 'leaving=1; kill -- "-$job"' TERM
pick() { # The JSON of one member of the object on standard input; nothing when there is none.
  grep -oE '"([^"\\]|\\.)*"|[][{},:]|[^][{},:"[:space:]]+' | awk -v name="\"$1\"" '
    found && depth == 1 && /^[,}]$/ { exit } found { printf "%s", $0 } /^[[{]$/ { depth++ }
    /^[]}]$/ { depth-- } depth == 1 && $0 == ":" && last == name { found = 1 } { last = $0 }'
}
part() { pick "$1" <"$dir/step"; }
slow() { # Begins where an attempt before this one was.
  from=$(part checkpoint | pick done) ms=$(part input | pick ms)
  for ((done = ${from:=0}; done < ms; done += 100)); do
    echo "{\"done\":$done}" >"$dir/new" && mv "$dir/new" "$dir/checkpoint" && sleep 0.1
  done
  echo "{\"kind\":\"succeed\",\"result\":{\"from\":$from}}"
}
failed() { echo "{\"kind\":\"error\",\"message\":\"$1\",\"retryable\":$2}"; }
work() { # What this worker can do: a task prints an outcome, and is killed when it has to stop.
  case $(part task) in
    '"conformance.succeed"') echo "{\"kind\":\"succeed\",\"result\":$(part input)}" ;;
    '"conformance.error"') failed 'Not this time.' true ;;
    '"conformance.fatal"') failed 'Never.' false ;;
    '"conformance.continue"') echo "{\"kind\":\"continue\",\"task\":$(part input | pick next)}" ;;
    '"conformance.slow"') slow ;;
    *) failed 'No such task here.' false ;;
  esac
}
send() { # Until it is answered: curl waits and repeats after lost connections, 429 and 5xx.
  until status=$(curl -s --retry 4 --retry-all-errors -m 30 -o "$dir/${1##*/}" -w '%{http_code}' -d @- \
    -H 'content-type: application/json' "$url/$1" <<<"$2") && ((status < 500 && status != 429)); do
    [[ ! $leaving ]] && kill -0 $$ || exit 1 # Nobody waits for it any more.
  done && ((status < 300))
}
tell() { send "$id/$1" "{\"lease_token\":$(part lease_token)$2}"; }
told() { [[ $(pick "$2" <"$dir/$1") == "$3" ]]; }
beat() { tell heartbeat ",\"checkpoint\":$(<"$dir/checkpoint")" && told heartbeat cancel_requested false; }
keep() { while sleep "$1" && kill -0 $$ && beat; do :; done 2>/dev/null; kill -- "-$job"; }
lists=${CONTROLLERS:+",\"controllers\":[\"${CONTROLLERS//,/\",\"}\"]"}${TASKS:+",\"tasks\":[\"${TASKS//,/\",\"}\"]"}
while [[ ! $leaving ]]; do
  send claim "{\"worker_id\":\"${WORKER_ID:-bash-$$}\",\"wait\":\"PT20S\"$lists}" & job=$!
  [[ ! $leaving ]] || kill -- "-$job" # The signal came before its number was known.
  wait "$job" 2>/dev/null || exit $((leaving ? 0 : 1))
  pick items <"$dir/claim" | sed 's/^\[//; s/\]$//' >"$dir/step"
  id=$(part id | tr -d '"') saved=$(part checkpoint) && [[ $id ]] || continue
  echo "${saved:-null}" >"$dir/checkpoint" && echo '{}' >"$dir/heartbeat"
  quarter=$(awk -F'[^0-9.]+' '{ print (86400 + ($5 - $11) * 3600 + ($6 - $12) * 60 + $7 - $13) % 86400 / 4 }' \
    <<<"$(part lease_until) $(part updated_at)") # Of the lease, by the clock of the service.
  work >"$dir/work" & job=$!; keep "$quarter" & heart=$!; [[ ! $leaving ]] || kill -- "-$job"
  wait "$job" 2>/dev/null; code=$?
  { kill -- "-$heart"; wait "$heart"; } 2>/dev/null
  if told heartbeat code '"lease_lost"'; then continue; fi # Somebody else has the step.
  if ((code)) && [[ $leaving ]]; then beat; tell release ''; break; fi
  ((code == 0)) || failed "The task ended with $code." true >"$dir/work"
  if told heartbeat cancel_requested true; then echo '{"kind":"cancel"}' >"$dir/work"; fi
  tell outcome ",\"outcome\":$(<"$dir/work")" || told outcome code '"lease_lost"' ||
    tell outcome ",\"outcome\":$(failed 'The outcome was refused.' false)"
done
