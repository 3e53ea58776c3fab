"""Turns what `terraform test -json -verbose` prints into plans that have every policy as rendered, for checkov.

Usage: terraform test -json -verbose | rendered_policies.py <plan.json> <vpc.json>. Policies for a function in a VPC go into the
second plan, because they need exceptions that no other needs. Says how many policies of which kind there are.
"""

import collections
import json
import sys

# By the argument that has the policy. checkov has no check for the permission on an event bus, which the tests of
# modules/forward hold.
KINDS = {
    "aws_iam_role": "assume_role_policy",
    "aws_iam_role_policy": "policy",
    "aws_kms_key": "policy",
    "aws_secretsmanager_secret_policy": "policy",
    "aws_sns_topic_policy": "policy",
    "aws_sqs_queue_policy": "policy",
}
VPC = "ConnectToVpc"


def policies():
    """Every policy once, as the kind, its text, and the planned resource."""
    found = {}
    for line in sys.stdin:
        # The lines have the provider's whole schema in them; the others need not be read.
        if '"type":"test_plan"' not in line:
            continue
        for change in json.loads(line)["test_plan"].get("resource_changes", []):
            kind, values = change["type"], change["change"]["after"] or {}
            if kind in KINDS and values.get(KINDS[kind]):
                found.setdefault((kind, values[KINDS[kind]]), change)
    return found


def sids(policy):
    return {statement.get("Sid") for statement in json.loads(policy)["Statement"]}


def plan(changes):
    resources = []
    for number, change in enumerate(changes):
        name = f"{change['name']}_{number}"
        resources.append({
            "address": f"{change['type']}.{name}", "mode": "managed", "type": change["type"], "name": name,
            "provider_name": change["provider_name"], "schema_version": 0, "values": change["change"]["after"],
            "sensitive_values": {},
        })
    changes = [
        {**{key: resource[key] for key in ("address", "mode", "type", "name", "provider_name")},
         "change": {"actions": ["create"], "before": None, "after": resource["values"], "after_unknown": {}}}
        for resource in resources
    ]
    return {
        "format_version": "1.2", "terraform_version": "1.11.4",
        "planned_values": {"root_module": {"resources": resources}}, "resource_changes": changes, "configuration": {},
    }


def main():
    found = policies()
    in_vpc = {key for key in found if VPC in sids(key[1])}
    for path, keys in zip(sys.argv[1:3], [found.keys() - in_vpc, in_vpc]):
        with open(path, "w", encoding="utf-8") as file:
            json.dump(plan([found[key] for key in sorted(keys)]), file)
    counts = collections.Counter(kind for kind, _ in found)
    print("policies as rendered:", ", ".join(f"{count} of {kind}" for kind, count in sorted(counts.items())))
    # The role's policy differs by the lookups, the clusters and the features.
    if counts.keys() != KINDS.keys() or counts["aws_iam_role_policy"] < 10 or not in_vpc:
        sys.exit("some policies were not rendered")
    # Each statement is checked without the exceptions, too.
    everywhere = set().union(*(sids(text) for _, text in found.keys() - in_vpc))
    if hidden := set().union(*(sids(text) for _, text in in_vpc)) - everywhere - {VPC}:
        sys.exit(f"only policies for a VPC have {sorted(hidden)}")


main()
