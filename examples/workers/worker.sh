#!/usr/bin/env bash
# A worker in bash and curl: claims steps, runs them, reports outcomes. See docs/workers.md.
set -um # -m: each background job has a process group, so that all of it can be stopped.
export LC_ALL=C url=${TASKFLOW_URL:-http://127.0.0.1:3000}/steps
dir=$(mktemp -d) job='' leaving=''
trap 'rm -rf "$dir"' EXIT
trap 'leaving=1; kill -- "-$job"' TERM
pick() { # The JSON of one member of the object on standard input; nothing when it has none of that name.
  grep -oE '"([^"\\]|\\.)*"|[][{},:]|[^][{},:"[:space:]]+' | awk -v name="\"$1\"" '
    found && depth == 1 && /^[,}]$/ { exit } found { printf "%s", $0 }
    depth == 1 && $0 == ":" && last == name { found = 1 } { last = $0 }
    /^[[{]$/ { depth++ } /^[]}]$/ { depth-- }'
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
  for ((status = 0; status == 0 || status == 429 || status >= 500; )); do
    status=$(curl -s --retry 4 --retry-all-errors -m 30 -o "$dir/${1##*/}" -w '%{http_code}' -d @- \
      -H 'content-type: application/json' "$url/$1" <<<"$2") || [[ ! $leaving ]] || exit 1
  done
  ((status < 300))
}
tell() { send "$id/$1" "{\"lease_token\":$(part lease_token)$2}"; }
told() { [[ $(pick "$2" <"$dir/$1") == "$3" ]]; }
beat() { tell heartbeat ",\"checkpoint\":$(<"$dir/checkpoint")"; }
keep() { # Ends the work when it is not wanted any more, or this worker is gone.
  while sleep "$1" && kill -0 $$ && beat && told heartbeat cancel_requested false; do :; done
  kill -- "-$job"
}
list() { [[ ! $2 ]] || echo ",\"$1\":[\"${2//,/\",\"}\"]"; }
claim="{\"worker_id\":\"${WORKER_ID:-bash-$$}\",\"wait\":\"PT20S\"$(list controllers "${CONTROLLERS-}")$(list tasks "${TASKS-}")}"
while [[ ! $leaving ]]; do
  send claim "$claim" & job=$!
  wait "$job" || exit $((leaving ? 0 : 1))
  pick items <"$dir/claim" | sed 's/^\[//; s/\]$//' >"$dir/step"
  id=$(part id | tr -d '"') last=$(part checkpoint) times="$(part lease_until) $(part updated_at)"
  [[ $id ]] || continue
  third=$(awk -F'[^0-9.]+' '{ s = ($5 - $11) * 3600 + ($6 - $12) * 60 + $7 - $13; print (s < 0 ? s + 86400 : s) / 3 }' <<<"$times")
  echo "${last:-null}" >"$dir/checkpoint" && echo '{}' >"$dir/heartbeat"
  work >"$dir/work" & job=$!
  keep "$third" & heart=$!
  wait "$job"; code=$?
  kill -- "-$heart"; wait
  if told heartbeat code '"lease_lost"'; then continue; fi # Somebody else has the step.
  if ((code > 0)) && [[ $leaving ]]; then beat; tell release ''; break; fi
  if ((code == 0)); then outcome=$(<"$dir/work")
  elif told heartbeat cancel_requested true; then outcome='{"kind":"cancel"}'
  else outcome=$(failed "The task ended with $code." true); fi
  tell outcome ",\"outcome\":$outcome" || told outcome code '"lease_lost"' ||
    tell outcome ",\"outcome\":$(failed 'The outcome was refused.' false)"
done
