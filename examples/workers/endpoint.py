#!/usr/bin/env python3
"""An endpoint in Python, standard library only: is pushed steps, answers outcomes. See docs/workers.md."""
import base64, collections, concurrent.futures, hashlib, hmac, http.server, json, os, threading, time

KEY = base64.b64decode(os.environ["SECRET"].removeprefix("whsec_"))
stops, answers, lock = {}, collections.OrderedDict(), threading.Lock()

def slow(step):
    if stops[step["id"]].wait(step["input"]["ms"] / 1000): raise InterruptedError
    return {"kind": "succeed", "result": {"from": 0}}

TASKS = {  # What this endpoint can do: a task answers an outcome, and raises an error soon after its stop was set.
    "conformance.succeed": lambda step: {"kind": "succeed", "result": step["input"]},
    "conformance.error": lambda step: {"kind": "error", "message": "Not this time."},
    "conformance.fatal": lambda step: {"kind": "error", "message": "Never.", "retryable": False},
    "conformance.continue": lambda step: {"kind": "continue", "task": step["input"]["next"]},
    "conformance.slow": slow}

def is_genuine(headers, body):
    """Whether the service has sent it, in the last five minutes: see the Standard Webhooks specification."""
    name, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not name or not at.isdecimal() or abs(time.time() - int(at)) > 300: return False
    own = b"v1," + base64.b64encode(hmac.digest(KEY, f"{name}.{at}.".encode() + body, hashlib.sha256))
    return any(hmac.compare_digest(own, one.encode()) for one in headers.get("webhook-signature", "").split(" "))

def run(step):
    stops[step["id"]] = threading.Event()
    try: return TASKS[step["task"]](step)
    except Exception as error:
        return {"kind": "error", "message": repr(error), "retryable": step["task"] in TASKS}
    finally: del stops[step["id"]]

def answer(headers, body):
    if not is_genuine(headers, body): return 401, {}
    message, mine = json.loads(body), concurrent.futures.Future()
    if message["type"] == "step.cancel_requested" and message["data"]["step_id"] in stops:
        stops[message["data"]["step_id"]].set()
    if message["type"] != "step": return 200, {}
    with lock:  # What comes again waits for the first answer, and is not run again.
        known = answers.setdefault(headers["webhook-id"], mine)
        if len(answers) > 10_000: answers.popitem(last=False)
    if known is mine: mine.set_result(run(message["step"]))
    return 200, known.result()

class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        try: status, content = answer(self.headers, body)
        except (ValueError, KeyError): status, content = 400, {}
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

http.server.ThreadingHTTPServer.request_queue_size = 64
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8080"))), Handler).serve_forever()
