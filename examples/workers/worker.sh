#!/usr/bin/env bash
# A worker in bash and curl: claims steps, runs them, reports outcomes. See docs/workers.md.
set -um # -m: each background job has a process group, so that all of it can be stopped.
export LC_ALL=C
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
  local done from ms
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
send() { # path, body: until it is answered; curl waits and repeats after lost connections, 429 and 5xx.
  local status=0 url="${TASKFLOW_URL:-http://127.0.0.1:3000}/steps/$1"
  until ((status > 0 && status < 500 && status != 429)); do
    status=$(curl -s --retry 4 --retry-all-errors -m 30 -o "$dir/${1##*/}" -w '%{http_code}' \
      -H 'content-type: application/json' -d @- "$url" <<<"$2") || [[ ! $leaving ]] || exit 1
  done
  ((status < 300))
}
tell() { send "$id/$1" "{\"lease_token\":$token$2}"; }
beat() { tell heartbeat ",\"checkpoint\":$(<"$dir/checkpoint")"; }
told() { [[ $(pick "$1" <"$dir/$2") == "$3" ]]; }
keep() { # Ends the work when it is not wanted any more, or this worker is gone.
  while sleep "$third" && kill -0 $$ && beat && told cancel_requested heartbeat false; do :; done
  kill -- "-$job"
}
list() { [[ ! $2 ]] || echo ",\"$1\":[\"${2//,/\",\"}\"]"; }
lists=$(list controllers "${CONTROLLERS-}")$(list tasks "${TASKS-}")
while [[ ! $leaving ]]; do
  send claim "{\"worker_id\":\"${WORKER_ID:-bash-$$}\",\"wait\":\"PT20S\"$lists}" & job=$!
  wait "$job" || exit $((leaving ? 0 : 1))
  step=$(pick items <"$dir/claim")
  [[ $step != '[]' ]] || continue
  echo "${step:1:-1}" >"$dir/step"
  id=$(part id | tr -d '"') token=$(part lease_token) last=$(part checkpoint)
  third=$(echo "$(part lease_until) $(part updated_at)" | awk -F'[^0-9.]+' '{
    lease = ($5 - $11) * 3600 + ($6 - $12) * 60 + $7 - $13; print (lease + (lease < 0) * 86400) / 3 }')
  echo "${last:-null}" >"$dir/checkpoint" && echo '{}' >"$dir/heartbeat"
  work >"$dir/work" & job=$!
  keep & heart=$!
  wait "$job"; code=$?
  kill -- "-$heart"; wait
  outcome=$(failed "The task ended with $code." true)
  if ((code == 0)); then outcome=$(<"$dir/work"); fi
  ...
done
