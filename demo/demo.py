"""A rotation from end to end, on an emulator on loopback.

Deploys the real package as a Lambda function behind an EventBridge rule, changes a secret's value through Secrets
Manager, and shows what happened to each service; then delivers the same event again and shows that nothing happens.
Exits non-zero if that is not what happened.
"""

import json
import sys
import time
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "infra/e2e"))
from emulator import emulator, wait_for

PACKAGE = Path(sys.argv[1])
LOG = Path("target/demo-emulator.log")
REGION = "eu-west-1"
CLUSTER = "prod"
FUNCTION = "redeploy-on-rotation"
# What must become of each service: how often it is redeployed, and the reason that the report gives.
EXPECTED = {
    "api": ("redeployed", "stale"),
    "worker": ("not concerned", "-"),
    "batch": ("skipped", "opted-out"),
    "legacy": ("skipped", "pinned-version"),
}


def say(text):
    print(f"demo: {text}", flush=True)


class Demo:
    def __init__(self, endpoint):
        session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION)
        config = Config(retries={"max_attempts": 3}, read_timeout=120)
        names = ["ecs", "secretsmanager", "events", "lambda", "logs", "iam"]
        clients = {name: session.client(name, endpoint_url=endpoint, config=config) for name in names}
        self.ecs, self.secrets, self.events = clients["ecs"], clients["secretsmanager"], clients["events"]
        self.lambda_, self.logs, self.iam = clients["lambda"], clients["logs"], clients["iam"]

    def make_services(self):
        """Four services: by JSON key, by another secret, opted out, pinned to a version."""
        database = self.secrets.create_secret(Name="prod/db", SecretString='{"password": "old"}')
        other = self.secrets.create_secret(Name="prod/mail", SecretString="unrelated")
        self.ecs.create_cluster(clusterName=CLUSTER)
        key = f"{database['ARN']}:password::"
        self.make_service("api", key)
        self.make_service("worker", other["ARN"])
        self.make_service("batch", key, [{"key": "redeploy-on-rotation", "value": "ignore"}])
        self.make_service("legacy", f"{database['ARN']}:password::{database['VersionId']}")
        return database["ARN"]

    def make_service(self, name, value_from, tags=()):
        self.ecs.register_task_definition(
            family=name,
            containerDefinitions=[{
                "name": "app",
                "image": "public.ecr.aws/docker/library/busybox:stable",
                "memory": 64,
                "secrets": [{"name": "PASSWORD", "valueFrom": value_from}],
            }],
        )
        self.ecs.create_service(
            cluster=CLUSTER, serviceName=name, taskDefinition=name, desiredCount=2, tags=list(tags),
        )

    def deploy_function(self):
        """The package, and the rule that calls it."""
        role = self.iam.create_role(RoleName=FUNCTION, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        function = self.lambda_.create_function(
            FunctionName=FUNCTION,
            Runtime="provided.al2023",
            Handler="bootstrap",
            Role=role,
            Code={"ZipFile": PACKAGE.read_bytes()},
            Timeout=120,
            # The emulator's times have whole seconds, like events; three are enough for the demo.
            Environment={"Variables": {"REDEPLOY_SETTLE_SECONDS": "3"}},
        )
        pattern = {
            "source": ["aws.secretsmanager"],
            "detail-type": ["Secret Label Updated"],
            "detail": {"labelUpdated": ["AWSCURRENT"]},
        }
        rule = self.events.put_rule(Name=FUNCTION, EventPattern=json.dumps(pattern))
        self.lambda_.add_permission(
            FunctionName=FUNCTION, StatementId="rule", Action="lambda:InvokeFunction",
            Principal="events.amazonaws.com", SourceArn=rule["RuleArn"],
        )
        self.events.put_targets(Rule=FUNCTION, Targets=[{"Id": "function", "Arn": function["FunctionArn"]}])

    def deployments(self):
        """The id of each service's PRIMARY deployment."""
        services = self.ecs.describe_services(cluster=CLUSTER, services=list(EXPECTED))["services"]
        primary = lambda service: next(d["id"] for d in service["deployments"] if d["status"] == "PRIMARY")
        return {service["serviceName"]: primary(service) for service in services}

    def report(self):
        """The report that the function logged, once there is one."""
        try:
            events = self.logs.filter_log_events(logGroupName=f"/aws/lambda/{FUNCTION}")["events"]
        except (ClientError, BotoCoreError):
            return None
        for event in events:
            for line in event["message"].splitlines():
                if line.startswith("{") and "_aws" in (report := json.loads(line)):
                    return report
        return None


def table(before, after, report):
    """Prints a line for each service, and gives what became of them."""
    by_name = {service["service"].rsplit("/", 1)[-1]: service for service in report["services"]}
    row = "  {:<8} {:<16} {:<16} {:<14} {}".format
    print(row("service", "before", "after", "action", "reason"))
    outcome = {}
    for name in EXPECTED:
        service = by_name.get(name, {"action": "not concerned", "reason": "-"})
        short = lambda deployment: deployment.removeprefix("ecs-svc/")[:12]
        print(row(name, short(before[name]), short(after[name]), service["action"], service["reason"]))
        outcome[name] = (service["action"], service["reason"])
    return outcome


def main():
    credentials = {"AWS_DEFAULT_REGION": REGION, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    with emulator(LOG, credentials) as endpoint:
        say(f"the emulator listens on {endpoint} (its log: {LOG})")
        demo = Demo(endpoint)
        secret = demo.make_services()
        say("made a cluster, two secrets and four services")
        demo.deploy_function()
        say(f"deployed {PACKAGE} behind an EventBridge rule")
        before = demo.deployments()
        time.sleep(2)  # so that the services are older than the change, in whole seconds

        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        version = demo.secrets.put_secret_value(SecretId=secret, SecretString='{"password": "new"}')["VersionId"]
        say("changed the value of prod/db; waiting for the function")
        report = wait_for(demo.report, f"the function's report; see {LOG}")
        after = demo.deployments()
        outcome = table(before, after, report)
        renewed = {name for name in EXPECTED if before[name] != after[name]}
        if outcome != EXPECTED or renewed != {"api"}:
            sys.exit(f"demo: expected {EXPECTED} with a new deployment of api only; see {LOG}")

        say("delivering the same event again")
        event = {
            "version": "0", "id": "again", "detail-type": "Secret Label Updated", "source": "aws.secretsmanager",
            "account": secret.split(":")[4], "region": REGION, "time": at, "resources": [secret],
            "detail": {"name": "prod/db", "labelUpdated": "AWSCURRENT", "versionId": version},
        }
        answer = demo.lambda_.invoke(FunctionName=FUNCTION, Payload=json.dumps(event))
        again = json.load(answer["Payload"])
        if "services" not in again:
            sys.exit(f"demo: the second delivery failed: {again}")
        last = demo.deployments()
        outcome = table(after, last, again)
        if outcome != EXPECTED | {"api": ("skipped", "already-fresh")} or last != after:
            sys.exit(f"demo: the second delivery changed something; see {LOG}")
        say("one rotation, one rollout, of the one service that needed it")


main()
