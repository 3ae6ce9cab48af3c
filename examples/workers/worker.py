#!/usr/bin/env python3
"""A worker in Python, standard library only: claims steps, runs them, reports outcomes. See docs/workers.md."""
import datetime, http.client, json, os, random, signal, sys, threading, time, urllib.error, urllib.request

stop, leaving, idle = threading.Event(), threading.Event(), threading.Event()
failed = lambda message, retryable=True: {"kind": "error", "message": message, "retryable": retryable}
def slow(step):
    start = (step.get("checkpoint") or {}).get("done", 0)  # Where an attempt before this one was.
    for done in range(start, step["input"]["ms"], 50):
        step["checkpoint"] = {"done": done}
        if stop.wait(0.05): raise InterruptedError
    return {"kind": "succeed", "result": {"from": start}}
TASKS = {  # What this worker can do: a task answers an outcome, and raises an error soon after `stop` was set.
    "conformance.succeed": lambda step: {"kind": "succeed", "result": step["input"]},
    "conformance.error": lambda step: failed("Not this time."),
    "conformance.fatal": lambda step: failed("Never.", retryable=False),
    "conformance.continue": lambda step: {"kind": "continue", "task": step["input"]["next"]},
    "conformance.slow": slow}

def send(path, content):
    """Sends until it is answered: after a lost connection, 429 or 5xx it waits and sends the same again."""
    url, pause = os.environ.get("TASKFLOW_URL", "http://127.0.0.1:3000"), 0.25
    body, headers = json.dumps(content).encode(), {"content-type": "application/json"}
    while True:
        asked, request = None, urllib.request.Request(f"{url}/steps/{path}", body, headers)
        try: return json.load(urllib.request.urlopen(request, timeout=30))
        except urllib.error.HTTPError as refusal:
            if refusal.code < 500 and refusal.code != 429: return json.load(refusal)
            asked = float(refusal.headers.get("retry-after") or 0)
        except (OSError, ValueError, http.client.HTTPException): pass  # No answer, or half of one.
        time.sleep(asked or pause * random.uniform(0.5, 1))
        pause = min(2 * pause, 8)
def run(step):
    tell = lambda verb, **more: send(f"{step['id']}/{verb}", {"lease_token": step["lease_token"], **more})
    until, since = (datetime.datetime.fromisoformat(step[at][:-1]) for at in ("lease_until", "updated_at"))
    told, over = {}, threading.Event()
    def keep():  # Both ends of the lease are by the service's clock, so ours may be wrong.
        while not over.wait((until - since).total_seconds() / 3):
            told.update(tell("heartbeat", checkpoint=step.get("checkpoint")))
            if told.get("code") == "lease_lost" or told.get("cancel_requested"): stop.set()
    (heart := threading.Thread(target=keep)).start()
    try: outcome = TASKS[step["task"]](step)
    except Exception as error: outcome = None if stop.is_set() else failed(repr(error), step["task"] in TASKS)
    over.set(), heart.join()
    if told.get("code") == "lease_lost": return  # Somebody else has the step.
    if outcome is None and leaving.is_set():
        return tell("heartbeat", checkpoint=step.get("checkpoint")) and tell("release")
    answer = tell("outcome", outcome=outcome or {"kind": "cancel"})
    if answer.get("code", "lease_lost") != "lease_lost": tell("outcome", outcome=failed(answer["detail"], False))
def leave(*_):
    leaving.set(), stop.set(), signal.alarm(10)  # A service that is away does not hold us.
    if idle.is_set(): sys.exit()
signal.signal(signal.SIGTERM, leave)
lists = {name.lower(): os.environ[name].split(",") for name in ("CONTROLLERS", "TASKS") if name in os.environ}
claim = {"worker_id": os.environ.get("WORKER_ID", "python"), "tasks": list(TASKS), "wait": "PT20S", **lists}
while not leaving.is_set():
    idle.set()
    items = send("claim", claim)["items"]
    idle.clear()
    for step in items: run(step), leaving.is_set() or stop.clear()
