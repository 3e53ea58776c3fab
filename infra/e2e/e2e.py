"""A rotation through what Terraform deployed, on an emulator on loopback.

Applies examples/complete with the real AWS provider, changes a secret through Secrets Manager, and waits for the one
new deployment; sweeps, and sends an event that cannot be handled, and finds it in the queue with its reason; sees that
Terraform finds nothing to change, and leaves nothing behind. Before that, holds every sample event against every pattern.
Exits non-zero if anything is not so. Usage: e2e.py <bootstrap.zip>
"""

import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from mirror import mirror

INFRA = Path(__file__).resolve().parents[1]
EVENTS = INFRA.parent / "events"
REGION = "eu-west-1"
NAME = "rotation-example"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}

# What the emulator does not keep, or answers the provider otherwise than AWS does, so that Terraform would change it.
KNOWN_GAPS = {
    # Its answer in the provider's protocol leaves these out. What boto3 reads is held against the plan below.
    "aws_cloudwatch_metric_alarm": {
        "actions_enabled", "alarm_actions", "alarm_description", "dimensions", "ok_actions", "period", "statistic",
        "treat_missing_data",
    },
    # It does not answer with this setting of a service.
    "aws_ecs_service": {"availability_zone_rebalancing"},
    # It keeps the rule that allows everything out, which the provider takes away from a new group.
    "aws_security_group": {"egress"},
}

def say(text):
    print(f"e2e: {text}", flush=True)


def fail(text):
    sys.exit(f"e2e: {text}")


@contextmanager
def emulator(log):
    """Starts the emulator on a free port, and stops it whatever happens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    ours = CREDENTIALS | {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        # The function may do what its role allows, and nothing else.
        "AUTH": "true",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": REGION,
    }
    program = Path(sys.executable).with_name("ministack")
    with log.open("w") as file:
        process = subprocess.Popen([program], env=os.environ | ours, stdout=file, stderr=file)
    try:
        wait_for(lambda: answers(port), "the emulator to listen", process=process)
        yield endpoint
    finally:
        process.terminate()
        process.wait(timeout=20)


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def wait_for(condition, what, seconds=60, process=None):
    """Polls until the condition holds, and gives its value."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process and process.poll() is not None:
            fail("the emulator stopped")
        if value := condition():
            return value
        time.sleep(0.25)
    fail(f"waited {seconds} s for {what}")


class Terraform:
    """Terraform in a copy of the module, so that neither state nor lock file gets into the tree."""

    def __init__(self, directory, endpoint, package):
        ignored = shutil.ignore_patterns(".terraform*", "*.tfstate*", "__pycache__")
        shutil.copytree(INFRA, directory / "infra", ignore=ignored)
        self.directory = directory / "infra/examples/complete"
        architecture = {"x86_64": "x86_64", "AMD64": "x86_64"}.get(platform.machine(), "arm64")
        self.environment = os.environ | CREDENTIALS | {
            "AWS_ENDPOINT_URL": endpoint,
            "TF_IN_AUTOMATION": "1",
            "TF_INPUT": "0",
            "TF_VAR_name": NAME,
            "TF_VAR_region": REGION,
            "TF_VAR_package": str(package),
            # The emulator runs the package on this machine.
            "TF_VAR_architecture": architecture,
        }
        if not Path(self.environment.get("TF_CLI_CONFIG_FILE", "/")).exists():
            del self.environment["TF_CLI_CONFIG_FILE"]

    def run(self, *arguments, accepted=(0,)):
        command = ["terraform", *arguments, *([] if arguments[0] in ("show", "output", "state") else ["-no-color"])]
        done = subprocess.run(command, cwd=self.directory, env=self.environment, capture_output=True, text=True)
        if done.returncode not in accepted:
            print(done.stderr)
            fail(f"{' '.join(command)} ended with {done.returncode}")
        return done

    def init(self):
        found = mirror()
        self.run("init", *([f"-plugin-dir={found}"] if found else []))

    def output(self):
        return {name: output["value"] for name, output in json.loads(self.run("output", "-json").stdout).items()}

    def changes(self):
        """What Terraform would change, as type, address, change."""
        done = self.run("plan", "-detailed-exitcode", "-out=plan", accepted=(0, 2))
        plan = json.loads(self.run("show", "-json", "plan").stdout)
        changes = [c for c in plan["resource_changes"] if c["change"]["actions"] not in (["no-op"], ["read"])]
        if (done.returncode == 2) != bool(changes):
            fail(f"plan -detailed-exitcode ended with {done.returncode}, and the plan has {len(changes)} changes")
        return [(c["type"], c["address"], c["change"]) for c in changes]


class Aws:
    def __init__(self, endpoint):
        session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION)
        config = Config(retries={"max_attempts": 3}, read_timeout=120)
        client = lambda name: session.client(name, endpoint_url=endpoint, config=config)
        self.ecs, self.secrets, self.events = client("ecs"), client("secretsmanager"), client("events")
        self.lambda_, self.logs, self.sqs, self.sns = client("lambda"), client("logs"), client("sqs"), client("sns")
        self.cloudwatch, self.iam, self.ssm, self.kms = client("cloudwatch"), client("iam"), client("ssm"), client("kms")

    def primary(self, cluster, service):
        """The id of the service's PRIMARY deployment."""
        services = self.ecs.describe_services(cluster=cluster, services=[service])["services"]
        return next(d["id"] for d in services[0]["deployments"] if d["status"] == "PRIMARY")

    def reports(self, function):
        """The reports that the function logged."""
        try:
            events = self.logs.filter_log_events(logGroupName=f"/aws/lambda/{function}")["events"]
        except (ClientError, BotoCoreError):
            return []
        lines = [line for event in events for line in event["message"].splitlines() if line.startswith("{")]
        return [report for report in map(json.loads, lines) if "_aws" in report]

    def message(self, queue, seconds=60):
        """The body of the next message, which is then deleted."""
        receive = lambda: self.sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages")
        message = wait_for(receive, f"a message in {queue}", seconds)[0]
        self.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return json.loads(message["Body"])


def check_patterns(aws):
    """Every sample against every pattern, as the table of events/README.md has it."""
    rows = [row.split("|") for row in (EVENTS / "README.md").read_text().splitlines() if ".json` |" in row]
    expected = {row[1].strip(" `"): sorted(re.findall("`([a-z-]+)`", row[4])) for row in rows}
    patterns = {path.stem: path.read_text() for path in (INFRA / "patterns").glob("*.json")}
    samples = {path.name: json.loads(path.read_text()) for path in EVENTS.glob("*.json")}
    if samples.keys() != expected.keys():
        fail(f"events/README.md and events/ differ in {sorted(samples.keys() ^ expected.keys())}")
    # One public capture is partial; no event lacks these.
    envelope = {
        "id": "0", "source": "aws.secretsmanager", "account": "123456789012", "time": "2026-11-23T01:02:03Z",
        "region": REGION, "resources": [],
    }
    wrong = []
    for name, sample in sorted(samples.items()):
        event = json.dumps(envelope | sample if "detail-type" in sample else sample)
        matches = lambda pattern: aws.events.test_event_pattern(Event=event, EventPattern=pattern)["Result"]
        matched = sorted(trigger for trigger, pattern in patterns.items() if matches(pattern))
        if matched != expected[name]:
            wrong.append(f"{name} matches {matched} and not {expected[name]}")
    if wrong:
        fail("; ".join(wrong))
    say(f"{len(samples)} samples match {len(patterns)} patterns as events/README.md says")


@contextmanager
def actions_without_scope(aws, function):
    """Gives the role the ECS actions that its policy allows, on everything.

    The emulator holds the function to its role, but a call of ECS to the cluster's ARN in place of the service's, and it
    knows no condition on the cluster. So what it shows is that no action is missing; the scope is for infra/tests.
    """
    role = aws.lambda_.get_function(FunctionName=function)["Configuration"]["Role"].split("/")[-1]
    name = aws.iam.list_role_policies(RoleName=role)["PolicyNames"][0]
    statements = aws.iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]["Statement"]
    actions = [action for statement in statements if statement["Effect"] == "Allow" for action in statement["Action"]]
    allow = {"Effect": "Allow", "Action": [a for a in actions if a.startswith("ecs:")], "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    aws.iam.put_role_policy(RoleName=role, PolicyName="emulator", PolicyDocument=document)
    try:
        yield
    finally:
        aws.iam.delete_role_policy(RoleName=role, PolicyName="emulator")


def check_rotation(aws, output):
    """One change of a secret, one new deployment."""
    cluster, service, function = output["cluster_name"], output["service_name"], output["function_name"]
    before = aws.primary(cluster, service)
    time.sleep(2)  # so that the deployment is older than the change, in whole seconds
    value = json.dumps({"username": "app", "password": "another", "host": "database.example.com"})
    aws.secrets.put_secret_value(SecretId=output["secret_arn"], SecretString=value)
    say("changed the secret; waiting for the function")
    seen = {before}

    def redeployed():
        seen.add(aws.primary(cluster, service))
        reports = aws.reports(function)
        if failed := [report for report in reports if report["outcome"] == "failed"]:
            fail(f"the function failed: {failed[0]}")
        return [report for report in reports if report["outcome"] == "redeployed"]

    report = wait_for(redeployed, "the report of a redeploy")[0]
    # A second rollout would have to settle first, too.
    environment = aws.lambda_.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
    until = time.monotonic() + int(environment["REDEPLOY_SETTLE_SECONDS"]) + 5
    while time.monotonic() < until:
        reports = redeployed()
        time.sleep(0.25)
    if len(seen) != 2 or len(reports) != 1 or report["services"][0]["deployment"] not in seen - {before}:
        fail(f"expected one new deployment, and saw {seen} and {reports}")
    say(f"{service} went from {before} to {report['services'][0]['deployment']}, and nothing else happened")
    return report


def check_sweep(aws, output):
    """A sweep after that looks at everything, lacks no permission, and has nothing to do."""
    answer = aws.lambda_.invoke(FunctionName=output["function_name"], Payload=json.dumps({"action": "sweep"}))
    report = json.loads(answer["Payload"].read())
    if report.get("outcome") != "nothing-to-do" or report.get("warnings"):
        fail(f"expected a sweep that finds nothing to do, and got {report}")
    say(f"a sweep found nothing to do: {report['reason']}")


def check_poison(aws, output):
    """An event that can never be handled ends in the queue, with the reason."""
    event = {
        "version": "0", "id": "poison", "detail-type": "Secret Label Updated", "source": "aws.secretsmanager",
        "account": "123456789012", "time": "2026-11-23T01:02:03Z", "region": REGION, "resources": [],
        "detail": {"name": "prod/db", "labelUpdated": "AWSCURRENT"},
    }
    aws.lambda_.invoke(FunctionName=output["function_name"], InvocationType="Event", Payload=json.dumps(event))
    say("sent an event without the secret's ARN; waiting for it in the queue")
    record = aws.message(output["dead_letter_queue_url"], seconds=90)
    error = record["responsePayload"]
    kept = record["requestPayload"] == event and record["requestContext"]["condition"] == "RetriesExhausted"
    if not kept or error["errorType"] != "InvalidEvent" or "resources[0]" not in error["errorMessage"]:
        fail(f"expected the event and InvalidEvent, which names resources[0], and got {record}")
    say(f"found it: {error['errorType']}, {json.loads(error['errorMessage'])['reason']}")


def check_notification(aws, report):
    """The record of a success, as Lambda sends it to the default bus, becomes a message for the chat.

    The emulator knows no destinations for successes, so that the record is put on the bus here; and no indices in input
    paths, so that the first rotation's secret and time stay empty in the message.
    """
    queue = aws.sqs.create_queue(QueueName="chat")["QueueUrl"]
    arn = aws.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = next(t["TopicArn"] for t in aws.sns.list_topics()["Topics"] if t["TopicArn"].endswith(f"{NAME}-chat"))
    allow = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    aws.sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    attributes = {"RawMessageDelivery": "true"}
    subscription = aws.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=attributes)
    function = aws.lambda_.get_function(FunctionName=f"{NAME}-redeploy")["Configuration"]["FunctionArn"]
    payload = {key: report[key] for key in ("trigger", "outcome", "reason", "rotations", "services")}
    for outcome in ("nothing-to-do", "redeployed"):
        detail = {
            "version": "1.0", "timestamp": "2026-11-23T01:02:03.456Z", "requestPayload": {},
            "requestContext": {"functionArn": f"{function}:$LATEST", "condition": "Success", "approximateInvokeCount": 1},
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST"},
            "responsePayload": payload | {"outcome": outcome},
        }
        kind = "Lambda Function Invocation Result - Success"
        aws.events.put_events(Entries=[{"Source": "lambda", "DetailType": kind, "Detail": json.dumps(detail)}])
    message = aws.message(queue)
    aws.sns.unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])
    aws.sqs.delete_queue(QueueUrl=queue)
    content = message["content"]
    said = content["title"].endswith(": redeployed") and f"After {report['trigger']}: {report['reason']}." in content["description"]
    if (message["version"], message["source"], content["textType"]) != ("1.0", "custom", "client-markdown") or not said:
        fail(f"expected a custom notification of the redeploy, and got {message}")
    say(f"the chat would show: {content['title']}: {content['description']}")


def check_drift(terraform, aws):
    """Terraform finds nothing to change but what the emulator is known to forget."""
    forgotten = []
    for kind, address, change in terraform.changes():
        before, after = change["before"] or {}, change["after"] or {}
        differing = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        if change["actions"] != ["update"] or not differing <= KNOWN_GAPS.get(kind, set()):
            fail(f"Terraform would {change['actions']} {address}, for {sorted(differing)}")
        if kind == "aws_cloudwatch_metric_alarm":
            check_alarm(aws, after)
        forgotten.append(address)
    say(f"no drift, but for what the emulator is known to forget of {len(forgotten)} resources")


def check_alarm(aws, planned):
    alarm = aws.cloudwatch.describe_alarms(AlarmNames=[planned["alarm_name"]])["MetricAlarms"][0]
    kept = {
        "actions_enabled": alarm["ActionsEnabled"],
        "alarm_actions": alarm["AlarmActions"],
        "alarm_description": alarm["AlarmDescription"],
        "dimensions": {dimension["Name"]: dimension["Value"] for dimension in alarm["Dimensions"]},
        "ok_actions": alarm["OKActions"],
        "period": alarm["Period"],
        "statistic": alarm["Statistic"],
        "treat_missing_data": alarm["TreatMissingData"],
    }
    differing = {key: value for key, value in kept.items() if value != planned[key]}
    if differing:
        fail(f"the alarm {planned['alarm_name']} has {differing}")


def check_destroyed(terraform, aws):
    """Nothing is left, in the state or in the account."""
    if state := terraform.run("state", "list").stdout:
        fail(f"the state still has {state}")
    left = {
        "functions": [f["FunctionName"] for f in aws.lambda_.list_functions()["Functions"]],
        "rules": [r["Name"] for r in aws.events.list_rules()["Rules"]],
        "queues": aws.sqs.list_queues().get("QueueUrls", []),
        "topics": [t["TopicArn"] for t in aws.sns.list_topics()["Topics"]],
        "alarms": [a["AlarmName"] for a in aws.cloudwatch.describe_alarms()["MetricAlarms"]],
        "dashboards": [d["DashboardName"] for d in aws.cloudwatch.list_dashboards()["DashboardEntries"]],
        "log groups": [g["logGroupName"] for g in aws.logs.describe_log_groups()["logGroups"]],
        "roles": [r["RoleName"] for r in aws.iam.list_roles()["Roles"] if r["RoleName"].startswith(NAME)],
        "secrets": [s["Name"] for s in aws.secrets.list_secrets()["SecretList"]],
        "parameters": [p["Name"] for p in aws.ssm.describe_parameters()["Parameters"]],
        "clusters": [c for c in aws.ecs.list_clusters()["clusterArns"] if NAME in c],
    }
    if left := {kind: names for kind, names in left.items() if names}:
        fail(f"terraform destroy left {left}")


def main():
    if len(sys.argv) != 2:
        fail("usage: e2e.py <bootstrap.zip>")
    package = Path(sys.argv[1]).resolve()
    if not package.exists():
        fail(f"{package} does not exist; `make package` makes it")
    began = time.monotonic()
    # The provider puts its sockets here, whose paths must be short.
    with tempfile.TemporaryDirectory(prefix="e2e-") as directory:
        directory = Path(directory)
        with emulator(directory / "emulator.log") as endpoint:
            say(f"the emulator listens on {endpoint}")
            aws = Aws(endpoint)
            check_patterns(aws)
            terraform = Terraform(directory, endpoint, package)
            terraform.init()
            say("terraform apply of examples/complete")
            terraform.run("apply", "-auto-approve")
            output = terraform.output()
            with actions_without_scope(aws, output["function_name"]):
                report = check_rotation(aws, output)
                check_sweep(aws, output)
            check_poison(aws, output)
            check_notification(aws, report)
            check_drift(terraform, aws)
            say("terraform destroy")
            terraform.run("destroy", "-auto-approve")
            check_destroyed(terraform, aws)
            say(f"nothing is left; done in {time.monotonic() - began:.0f} s")


main()
