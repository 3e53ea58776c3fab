"""A rotation through what Terraform deployed, on an emulator on loopback.

Applies examples/complete with the real AWS provider, changes a secret through Secrets Manager, and waits for the one
new deployment; sweeps, and sends an event that cannot be handled, and finds it in the queue with its reason; redrives a
request that failed; holds the alarms to what is reported; sees that Terraform finds nothing to change; takes the package
from a bucket, upgrades it, and refuses others; and destroys everything without the package. Before that, holds every sample event against every pattern,
and applies modules/forward between two Regions. Exits non-zero if anything is not so. Usage: e2e.py <bootstrap.zip>
"""

import base64
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from emulator import emulator, wait_for
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
        "actions_enabled", "alarm_actions", "alarm_description", "dimensions", "metric_query", "ok_actions", "period",
        "statistic", "treat_missing_data",
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


class Terraform:
    """Terraform in a copy of the module, so that neither state nor lock file gets into the tree."""

    def __init__(self, directory, endpoint, package):
        self.directory = directory
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

    def destroy(self):
        self.run("destroy", "-auto-approve")
        if state := self.run("state", "list").stdout:
            fail(f"the state still has {state}")

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


    def planned(self, kind):
        """What the last plan has of a type of resource, changed or not."""
        plan = json.loads(self.run("show", "-json", "plan").stdout)
        return [c["change"]["after"] for c in plan["resource_changes"] if c["type"] == kind]


class Aws:
    def __init__(self, endpoint, region=REGION):
        session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=region)
        config = Config(retries={"max_attempts": 3}, read_timeout=120)
        client = lambda name: session.client(name, endpoint_url=endpoint, config=config)
        self.ecs, self.secrets, self.events = client("ecs"), client("secretsmanager"), client("events")
        self.lambda_, self.logs, self.sqs, self.sns = client("lambda"), client("logs"), client("sqs"), client("sns")
        self.cloudwatch, self.iam, self.ssm, self.s3 = client("cloudwatch"), client("iam"), client("ssm"), client("s3")

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
        # EventBridge matches objects only, and EventBridge Pipes hands over lists.
        matches = lambda pattern: isinstance(sample, dict) and aws.events.test_event_pattern(
            Event=event, EventPattern=pattern)["Result"]
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
    knows no condition on the cluster or on a tag. So what it shows is that no action is missing; the scope, and the denial of
    what is tagged ignore, are for infra/tests.
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

    The emulator knows no destinations for successes, so that the record is put on the bus here.
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
    text = 'prod/db changed.\n"app": redeployed, stale'
    # The first has nothing to tell.
    for notification in ({}, {"notification": text}):
        detail = {
            "version": "1.0", "timestamp": "2026-11-23T01:02:03.456Z", "requestPayload": {},
            "requestContext": {"functionArn": f"{function}:$LATEST", "condition": "Success", "approximateInvokeCount": 1},
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST"},
            "responsePayload": payload | notification,
        }
        kind = "Lambda Function Invocation Result - Success"
        aws.events.put_events(Entries=[{"Source": "lambda", "DetailType": kind, "Detail": json.dumps(detail)}])
    message = aws.message(queue)
    aws.sns.unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])
    aws.sqs.delete_queue(QueueUrl=queue)
    content = message["content"]
    said = content["title"].endswith(": redeployed") and content["description"] == text
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
        "ok_actions": alarm["OKActions"],
        "treat_missing_data": alarm["TreatMissingData"],
    }
    if not planned["metric_query"]:
        kept |= {
            "dimensions": {dimension["Name"]: dimension["Value"] for dimension in alarm["Dimensions"]},
            "period": alarm["Period"],
            "statistic": alarm["Statistic"],
        }
    differing = {key: value for key, value in kept.items() if value != planned[key]}
    if differing:
        fail(f"the alarm {planned['alarm_name']} has {differing}")


def check_metrics(terraform, aws, output, report):
    """Each alarm watches a metric that there is, of something that there is."""
    alarms = terraform.planned("aws_cloudwatch_metric_alarm")
    reported = {metric["Name"] for metric in report["_aws"]["CloudWatchMetrics"][0]["Metrics"]}
    documented = {
        "RedeployOnRotation": reported,
        "AWS/Lambda": {"Errors", "AsyncEventAge", "AsyncEventsDropped", "DestinationDeliveryFailures"},
        "AWS/SQS": {"ApproximateNumberOfMessagesVisible"},
        "AWS/Events": {"FailedInvocations", "TriggeredRules"},
    }
    there = {
        "FunctionName": {output["function_name"]},
        "RuleName": {rule["Name"] for rule in aws.events.list_rules()["Rules"]},
        "QueueName": {url.split("/")[-1] for url in aws.sqs.list_queues()["QueueUrls"]},
    }
    watched = []
    for alarm in alarms:
        for metric in [metric for query in alarm["metric_query"] for metric in query["metric"]] or [alarm]:
            [(dimension, value)] = metric["dimensions"].items()
            if metric["metric_name"] not in documented[metric["namespace"]] or value not in there[dimension]:
                fail(f"{alarm['alarm_name']} watches {metric['namespace']} {metric['metric_name']} of {value}")
            watched.append(metric["metric_name"])
    say(f"{len(alarms)} alarms watch {len(watched)} metrics, {len(reported & set(watched))} of them of the report")


def check_redrive(aws, output, endpoint):
    """A request that failed and is sent again asks for what it asked for at first: what was redeployed since is left alone."""
    if not shutil.which("aws") or not shutil.which("jq"):
        say("SKIPPED: the AWS CLI or jq is not installed, so that nothing is redriven")
        return
    before = aws.primary(output["cluster_name"], output["service_name"])
    first = "2026-11-23T01:02:03.456Z"
    message = json.dumps({"trigger": "request", "outcome": "failed", "rotations": [{"secret": output["secret_arn"], "at": first}]})
    record = {
        "version": "1.0", "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
        "requestContext": {"requestId": "redriven", "condition": "RetriesExhausted", "approximateInvokeCount": 3},
        "requestPayload": {"action": "redeploy", "secret": output["secret_arn"]},
        "responsePayload": {"errorType": "PartialFailure", "errorMessage": message},
    }
    # One that waited for six hours was never tried, and has no report: its record is younger than the service's deployment.
    too_old = {key: value for key, value in record.items() if key != "responsePayload"}
    too_old["requestContext"] = {"requestId": "too-old", "condition": "EventAgeExceeded", "approximateInvokeCount": 0}
    for message in (record, too_old):
        aws.sqs.send_message(QueueUrl=output["dead_letter_queue_url"], MessageBody=json.dumps(message))
    command = [INFRA / "redrive.sh", output["dead_letter_queue_url"], output["function_name"]]
    with tempfile.TemporaryDirectory() as directory:
        # Not every version of the AWS CLI looks for the endpoint in the environment.
        here = Path(directory, "aws")
        here.write_text(f'#!/bin/sh\nexec {shutil.which("aws")} --endpoint-url {endpoint} "$@"\n')
        here.chmod(0o755)
        path = {"PATH": f"{directory}:{os.environ['PATH']}", "AWS_DEFAULT_REGION": REGION}
        done = subprocess.run(command, env=os.environ | CREDENTIALS | path, capture_output=True, text=True, timeout=60)
    if done.returncode or done.stdout.strip() != "2 sent again":
        fail(f"redrive.sh ended with {done.returncode}: {done.stdout}{done.stderr}")

    def requests():
        found = [report for report in aws.reports(output["function_name"]) if report["trigger"] == "request"]
        return found if len(found) == 2 else None

    reports = wait_for(requests, "the reports of the two requests")
    reasons = {(service["action"], service["reason"]) for report in reports for service in report["services"]}
    if reasons != {("skipped", "already-fresh")} or aws.primary(output["cluster_name"], output["service_name"]) != before:
        fail(f"expected that the requests find the service fresh, and got {reports}")
    say("requests that were sent again found the service fresh")


def check_packages(terraform, aws, output, package):
    """From a file to an object, from one package to the next, and what is refused on the way."""
    function, architecture = output["function_name"], terraform.environment["TF_VAR_architecture"]
    old = package.read_bytes()
    copy = terraform.directory / "another.zip"
    copy.write_bytes(old)
    with zipfile.ZipFile(copy, "a") as file:
        file.comment = b"the same program, another package"
    new = copy.read_bytes()
    aws.s3.create_bucket(Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": REGION})

    def choose(version, body, digest=None):
        key = f"{version}/bootstrap-{architecture}.zip"
        aws.s3.put_object(Bucket="artifacts", Key=key, Body=body)
        terraform.environment.pop("TF_VAR_package", None)
        terraform.environment |= {
            "TF_VAR_package_s3": json.dumps({"bucket": "artifacts", "key": key}),
            "TF_VAR_package_sha256": digest or hashlib.sha256(body).hexdigest(),
        }

    def deployed():
        return base64.b64decode(aws.lambda_.get_function(FunctionName=function)["Configuration"]["CodeSha256"]).hex()

    def check_runs(body):
        if deployed() != (wanted := hashlib.sha256(body).hexdigest()):
            fail(f"expected the code of hash {wanted}, and found {deployed()}")
        answer = aws.lambda_.invoke(FunctionName=function, Payload='{"action":"plan","secret":"none"}')
        report = json.loads(answer["Payload"].read())
        if report.get("errorType") == "Runtime.ExitError":
            fail(f"the function from the bucket does not start: {report}")

    def check_refused(command, digest, *arguments):
        # The message is broken into lines of a terminal's width.
        refused = terraform.run(command, *arguments, accepted=(1,)).stderr.replace("\n", " ").replace("│ ", "")
        if f"code has the SHA-256 {deployed()}" not in refused or f"names {digest}" not in refused or "-replace" not in refused:
            fail(f"expected that the code of hash {deployed()} is refused for {digest}, and got {refused}")

    for version, body in (("v1", old), ("v2", new)):
        choose(version, body)
        terraform.run("apply", "-auto-approve")
        check_runs(body)
    say("took the package from a bucket, and the next one after it")
    choose("v2", new, digest="0" * 64)
    check_refused("apply", "0" * 64, "-auto-approve")
    choose("v2", new)
    terraform.run("apply", "-auto-approve")
    say("refused an object of another hash, and went on with the right one")
    aws.lambda_.update_function_code(FunctionName=function, ZipFile=old)
    check_refused("plan", hashlib.sha256(new).hexdigest())
    allowed = json.loads(aws.lambda_.get_policy(FunctionName=function)["Policy"])["Statement"]
    terraform.run("apply", "-auto-approve", "-replace=module.redeploy_on_rotation.aws_lambda_function.this")
    check_runs(new)
    if len(json.loads(aws.lambda_.get_policy(FunctionName=function)["Policy"])["Statement"]) != len(allowed):
        fail("a function that was replaced must let in the same rules")
    aws.lambda_.get_function_event_invoke_config(FunctionName=function)
    check_drift(terraform, aws)
    for version in ("v1", "v2"):
        aws.s3.delete_object(Bucket="artifacts", Key=f"{version}/bootstrap-{architecture}.zip")
    aws.s3.delete_bucket(Bucket="artifacts")
    say("refused code that somebody had replaced, and put the package back")


FORWARD = """
provider "aws" {
  region = "us-east-1"
}

provider "aws" {
  alias  = "services"
  region = "%s"
}

module "forward" {
  source           = "../../modules/forward"
  providers        = { aws = aws, aws.services = aws.services }
  secrets          = ["forwarded/*"]
  alarm_topic_arns = []
}
""" % REGION


def check_forward(directory, endpoint):
    """The rule in the secrets' Region takes the events that are meant and no others, and sends them to the other bus.

    The emulator carries no event from one Region to another, so a queue next to the bus shows what the rule takes.
    """
    directory.mkdir()
    (directory / "main.tf").write_text(FORWARD)
    terraform = Terraform(directory, endpoint, None)
    terraform.init()
    terraform.run("apply", "-auto-approve")
    there = Aws(endpoint, "us-east-1")
    rule = "redeploy-on-rotation-forward-secret-label-updated"
    [target] = there.events.list_targets_by_rule(Rule=rule)["Targets"]
    wanted = f":events:{REGION}:000000000000:event-bus/default"
    if not target["Arn"].endswith(wanted) or "forward" not in target["RoleArn"] or "DeadLetterConfig" not in target:
        fail(f"expected the other bus, with a role and a queue, and got {target}")
    queue = there.sqs.create_queue(QueueName="taken")["QueueUrl"]
    arn = there.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    there.events.put_targets(Rule=rule, Targets=[{"Id": "taken", "Arn": arn}])
    for name in ("other/db", "forwarded/db"):
        there.secrets.create_secret(Name=name, SecretString="one")
        there.secrets.put_secret_value(SecretId=name, SecretString="two")
    event = there.message(queue)
    if event["detail"]["name"] != "forwarded/db" or event["region"] != "us-east-1":
        fail(f"expected the event of forwarded/db in us-east-1, and got {event}")
    for name in ("other/db", "forwarded/db"):
        there.secrets.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    there.events.remove_targets(Rule=rule, Ids=["taken"])
    there.sqs.delete_queue(QueueUrl=queue)
    terraform.destroy()
    say("the forwarder takes the event of a secret that is meant, for the bus of the other Region, and no other event")


def check_destroyed(aws):
    """Nothing is left in the account."""
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
        # The function may do what its role allows, and nothing else.
        environment = CREDENTIALS | {"AUTH": "true", "AWS_DEFAULT_REGION": REGION}
        with emulator(directory / "emulator.log", environment) as endpoint:
            say(f"the emulator listens on {endpoint}")
            aws = Aws(endpoint)
            check_patterns(aws)
            ignored = shutil.ignore_patterns(".terraform*", "*.tfstate*", "__pycache__")
            shutil.copytree(INFRA, directory / "infra", ignore=ignored)
            check_forward(directory / "infra/examples/forward", endpoint)
            terraform = Terraform(directory / "infra/examples/complete", endpoint, package)
            terraform.init()
            say("terraform apply of examples/complete")
            terraform.run("apply", "-auto-approve")
            output = terraform.output()
            with actions_without_scope(aws, output["function_name"]):
                report = check_rotation(aws, output)
                check_sweep(aws, output)
                check_redrive(aws, output, endpoint)
            check_poison(aws, output)
            check_notification(aws, report)
            check_drift(terraform, aws)
            check_metrics(terraform, aws, output, report)
            check_packages(terraform, aws, output, package)
            say("terraform destroy, without the package")
            terraform.environment |= {"TF_VAR_package": str(directory / "gone.zip")}
            del terraform.environment["TF_VAR_package_s3"], terraform.environment["TF_VAR_package_sha256"]
            terraform.destroy()
            check_destroyed(aws)
            say(f"nothing is left; done in {time.monotonic() - began:.0f} s")


main()
