"""Measures what counts, as ratios within one run, and prints one Markdown table.

Usage: bench.py BOOTSTRAP BARE ZIP [SERVICES]

- The CPU time from the start of `bootstrap` to its first request to the Runtime API, against a function that does
  nothing (benches/bare). The starts of both alternate, so that the machine's noise meets both alike.
- The peak memory of `bootstrap` after an event, and after a sweep, in an account of SERVICES services (5,000) with a task
  definition of 50 references each. The account is a server on loopback. The function keeps to the documented rate of
  DescribeTaskDefinition, 20 a second, so that this takes five minutes.
- The size of the package.
- The storms of `cargo test --test it storms`: the rows that it prints.
"""

import json
import os
import statistics
import subprocess
import sys
import threading
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue

BOOTSTRAP, BARE, ZIP = sys.argv[1:4]
SERVICES = int(sys.argv[4]) if len(sys.argv) > 4 else 5000
REFERENCES = 50
SECRETS = 500
SERVICES_PER_CLUSTER = 1000
STARTS = 100
# A measurement that takes longer than this has failed.
DEADLINE = timedelta(minutes=15)

NOW = datetime.now(timezone.utc)
CHANGED = NOW - timedelta(hours=2)
DEPLOYED = NOW - timedelta(hours=1)
ECS = "arn:aws:ecs:eu-west-1:123456789012"


def server(handler):
    """A server on a free port of loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    # A process that is killed resets its connections.
    server.handle_error = lambda *_: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"127.0.0.1:{server.server_port}"


class Handler(BaseHTTPRequestHandler):
    """Answers with JSON over connections that stay open."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, document, status=200, headers=()):
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class RuntimeApi:
    """Lambda's side of a function: what it is asked for, and what it answers."""

    def __init__(self):
        self.asked, self.events, self.answers = Queue(), Queue(), Queue()
        api = self

        class Runtime(Handler):
            def do_GET(self):
                api.asked.put(None)
                event = api.events.get()
                deadline = datetime.now(timezone.utc) + DEADLINE
                self.answer(event, headers=[
                    ("Lambda-Runtime-Aws-Request-Id", "bench"),
                    ("Lambda-Runtime-Deadline-Ms", str(int(deadline.timestamp() * 1000))),
                    ("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-west-1:123456789012:function:bench"),
                ])

            def do_POST(self):
                api.answers.put((self.path.rsplit("/", 1)[1], self.body()))
                self.answer({"status": "OK"}, 202)

        self.address = server(Runtime)

    def start(self, program, **variables):
        environment = {
            "AWS_LAMBDA_RUNTIME_API": self.address,
            "AWS_LAMBDA_FUNCTION_NAME": "bench",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_SESSION_TOKEN": "test",
            "_HANDLER": "bootstrap",
            "LAMBDA_TASK_ROOT": "/var/task",
            "PATH": "/usr/bin:/bin",
        }
        return subprocess.Popen([program], env=environment | variables, stdout=subprocess.DEVNULL)


def start_time(program):
    """The CPU time of all threads until the first request to the Runtime API, in milliseconds."""
    api = RuntimeApi()
    process = api.start(program)
    try:
        api.asked.get(timeout=30)
        threads = Path(f"/proc/{process.pid}/task").iterdir()
        # The first number is the time on a CPU, in nanoseconds.
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e6
    finally:
        process.kill()
        process.wait()


def starts():
    """The medians for `bootstrap` and for the function that does nothing."""
    times = {BOOTSTRAP: [], BARE: []}
    for _ in range(STARTS):
        for program in times:
            times[program].append(start_time(program))
    return [statistics.median(times[program]) for program in times]


class FakeAws(Handler):
    """An account in which every service was deployed after its secrets changed."""

    unknown = set()

    def do_POST(self):
        operation = self.headers["X-Amz-Target"].rsplit(".", 1)[1]
        call = getattr(self, operation, None)
        request = json.loads(self.body())
        if call is None:
            self.unknown.add(operation)
            return self.answer({"__type": "InvalidParameterException", "message": operation}, 400)
        return self.answer(call(request))

    def ListClusters(self, _):
        clusters = range(-(-SERVICES // SERVICES_PER_CLUSTER))
        return {"clusterArns": [f"{ECS}:cluster/c{cluster}" for cluster in clusters]}

    def DescribeClusters(self, request):
        return {"clusters": [{
            "clusterArn": arn,
            "status": "ACTIVE",
            "activeServicesCount": len(services_of(arn)),
            "runningTasksCount": len(services_of(arn)),
            "pendingTasksCount": 0,
        } for arn in request["clusters"]]}

    def ListServices(self, request):
        services = services_of(request["cluster"])
        first = int(request.get("nextToken", 0))
        after = first + request["maxResults"]
        page = {"serviceArns": [service_arn(number) for number in services[first:after]]}
        return page | ({"nextToken": str(after)} if after < len(services) else {})

    def DescribeServices(self, request):
        return {"services": [describe_service(int(arn.rsplit("-", 1)[1])) for arn in request["services"]], "failures": []}

    def DescribeTaskDefinition(self, request):
        number = int(request["taskDefinition"].rsplit("-", 1)[1].split(":")[0])
        secrets = [
            {"name": f"SECRET_{n}", "valueFrom": f"{secret_arn((number * 7 + n * 11) % SECRETS)}:key-{number}-{n}::"}
            for n in range(REFERENCES)
        ]
        container = {"name": "app", "image": "app", "essential": True, "secrets": secrets}
        return {"taskDefinition": {
            "taskDefinitionArn": request["taskDefinition"], "status": "ACTIVE", "containerDefinitions": [container],
        }}

    def DescribeSecret(self, request):
        arn = request["SecretId"]
        return {
            "ARN": arn,
            "Name": arn.split(":secret:")[1].rsplit("-", 1)[0],
            "LastChangedDate": CHANGED.timestamp(),
            "VersionIdsToStages": {"version": ["AWSCURRENT"]},
        }


def services_of(cluster):
    number = int(cluster.rsplit("/c", 1)[1])
    return range(number * SERVICES_PER_CLUSTER, min((number + 1) * SERVICES_PER_CLUSTER, SERVICES))


def service_arn(number):
    return f"{ECS}:service/c{number // SERVICES_PER_CLUSTER}/service-{number}"


def secret_arn(number):
    return f"arn:aws:secretsmanager:eu-west-1:123456789012:secret:team-{number % 20}/secret-{number}-AbCdEf"


def describe_service(number):
    definition = f"{ECS}:task-definition/app-{number}:7"
    return {
        "serviceArn": service_arn(number),
        "serviceName": f"service-{number}",
        "clusterArn": f"{ECS}:cluster/c{number // SERVICES_PER_CLUSTER}",
        "status": "ACTIVE",
        "desiredCount": 1,
        "runningCount": 1,
        "pendingCount": 0,
        "taskDefinition": definition,
        "deployments": [{
            "id": f"ecs-svc/{number}",
            "status": "PRIMARY",
            "createdAt": DEPLOYED.timestamp(),
            "updatedAt": DEPLOYED.timestamp(),
            "taskDefinition": definition,
            "desiredCount": 1,
            "runningCount": 1,
            "pendingCount": 0,
            "failedTasks": 0,
            "rolloutState": "COMPLETED",
        }],
        "tags": [],
    }


def label_updated():
    event = json.loads(Path("events/secret-label-updated.json").read_text())
    event["time"] = CHANGED.strftime("%Y-%m-%dT%H:%M:%SZ")
    event["resources"] = [secret_arn(0)]
    event["detail"]["name"] = "team-0/secret-0"
    return event


def peak_memory(process):
    """The most memory that a process ever had resident, in MiB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def memory():
    """The peak after an event in a cold process, and after a sweep in the same one."""
    api = RuntimeApi()
    process = api.start(BOOTSTRAP, AWS_ENDPOINT_URL=f"http://{server(FakeAws)}", REDEPLOY_RATE_SHARE="1")
    peaks = []
    try:
        for event in [label_updated(), {"action": "sweep"}]:
            api.events.put(json.dumps(event).encode())
            kind, answer = api.answers.get(timeout=DEADLINE.total_seconds())
            report = json.loads(answer)
            followers = len(report.get("services", [])) + report.get("servicesOmitted", 0)
            expected = SERVICES if "action" in event else sum(
                any((number * 7 + n * 11) % SECRETS == 0 for n in range(REFERENCES)) for number in range(SERVICES)
            )
            if kind != "response" or followers != expected or FakeAws.unknown:
                sys.exit(f"not the expected {expected} services: {kind} {FakeAws.unknown} {answer[:2000]}")
            peaks.append(peak_memory(process))
    finally:
        process.kill()
        process.wait()
    return peaks


def storms():
    """The rows that the tests of storms print."""
    command = ["cargo", "test", "--locked", "--quiet", "--test", "it", "storms", "--", "--nocapture"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    if result.returncode != 0:
        sys.exit(result.stdout + result.stderr)
    return [line for line in result.stdout.splitlines() if line.startswith("|")]


def main():
    bootstrap, bare = starts()
    of_event, of_sweep = memory()
    account = f"{SERVICES:,} services of {REFERENCES} references"
    starts_of = f"CPU time to the first request, median of {STARTS} starts"
    size = os.path.getsize(ZIP) / 1e6
    print("| measure | `bootstrap` | a function that does nothing, or the floor | ratio |")
    print("| --- | ---: | ---: | ---: |")
    print(f"| {starts_of} | {bootstrap:.2f} ms | {bare:.2f} ms | {bootstrap / bare:.2f} |")
    print(f"| peak memory after an event, {account} | {of_event:.0f} MiB | | |")
    print(f"| the same process after a sweep, too | {of_sweep:.0f} MiB | | |")
    print(f"| package | {size:.2f} MB | | |", flush=True)
    print("\n".join(storms()))


if __name__ == "__main__":
    main()
