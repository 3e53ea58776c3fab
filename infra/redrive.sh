#!/usr/bin/env bash
# Sends the events of the queue to the function again, until the queue is empty or a command fails.
# Usage: redrive.sh QUEUE_URL FUNCTION_NAME
set -euo pipefail
queue=$1 function=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sent=0
while true; do
  aws sqs receive-message --queue-url "$queue" --wait-time-seconds 5 --output json >"$work/message.json"
  handle=$(jq --raw-output '.Messages[0].ReceiptHandle // empty' "$work/message.json")
  [ -n "$handle" ] || break
  jq --compact-output --from-file "$(dirname "$0")/redrive.jq" "$work/message.json" >"$work/event.json"
  aws lambda invoke --function-name "$function" --invocation-type Event --payload "fileb://$work/event.json" /dev/null >/dev/null
  aws sqs delete-message --queue-url "$queue" --receipt-handle "$handle"
  sent=$((sent + 1))
done
echo "$sent sent again"
